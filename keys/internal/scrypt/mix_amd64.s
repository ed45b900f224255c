#include "textflag.h"

// The sixteen words of the state in the order of RFC 7914. Thirteen stay in registers; 2, 8 and 13 are on the stack, since
// they are what a quarter round needs last and has ready first, so that the way there and back takes no time. SSE2 and AVX-512
// were measured, and are slower where a vector instruction takes two cycles: the rounds are one chain of additions.
//
//	 0 AX   1 BX   2 0(SP)   3 CX
//	 4 DX   5 SI   6 DI      7 BP
//	 8 4(SP)   9 R8   10 R9   11 R10
//	12 R11   13 8(SP)   14 R12   15 R13
//
// 16(SP) is where the next result goes, 24(SP) and 32(SP) are what is read next, and 40(SP) counts. R14 and R15 are free.

// QUARTER is a quarter round.
#define QUARTER(a, b, c, d) \
	LEAL (a)(d*1), R14; \
	ROLL $7, R14; \
	XORL R14, b; \
	LEAL (b)(a*1), R14; \
	ROLL $9, R14; \
	XORL R14, c; \
	LEAL (c)(b*1), R14; \
	ROLL $13, R14; \
	XORL R14, d; \
	LEAL (d)(c*1), R14; \
	ROLL $18, R14; \
	XORL R14, a

// SPILLED is a quarter round whose third word is on the stack.
#define SPILLED(a, b, c, d) \
	MOVL c, R15; \
	QUARTER(a, b, R15, d); \
	MOVL R15, c

// DOUBLE is a round over the columns and one over the rows.
#define DOUBLE \
	SPILLED(AX, DX, 4(SP), R11); \
	SPILLED(SI, R8, 8(SP), BX); \
	SPILLED(R9, R12, 0(SP), DI); \
	QUARTER(R13, CX, BP, R10); \
	SPILLED(AX, BX, 0(SP), CX); \
	QUARTER(SI, DI, BP, DX); \
	SPILLED(R9, R10, 4(SP), R8); \
	SPILLED(R13, R11, 8(SP), R12)

// IN replaces a word in a register by its xor with those of both inputs, at R14 and R15.
#define IN(word, at) \
	XORL (at)(R14), word; \
	XORL (at)(R15), word

// INSPILLED does so with a word on the stack, and keeps it in the result.
#define INSPILLED(word, at, into) \
	MOVQ 24(SP), R14; \
	MOVL word, R15; \
	XORL (at)(R14), R15; \
	MOVQ 32(SP), R14; \
	XORL (at)(R14), R15; \
	MOVL R15, word; \
	MOVQ 16(SP), R14; \
	MOVL R15, (into)(R14)

// OUT adds what a word was before the rounds, which is kept in the result.
#define OUT(word, into) \
	ADDL (into)(R14), word; \
	MOVL word, (into)(R14)

// OUTSPILLED does so with a word on the stack.
#define OUTSPILLED(word, into) \
	MOVL word, R15; \
	ADDL (into)(R14), R15; \
	MOVL R15, word; \
	MOVL R15, (into)(R14)

// SALSA replaces the state by Salsa20/8 of its xor with 64 octets of both inputs.
#define SALSA(off, into) \
	MOVQ 24(SP), R14; \
	MOVQ 32(SP), R15; \
	IN(AX, off+0); \
	IN(BX, off+4); \
	IN(CX, off+12); \
	IN(DX, off+16); \
	IN(SI, off+20); \
	IN(DI, off+24); \
	IN(BP, off+28); \
	IN(R8, off+36); \
	IN(R9, off+40); \
	IN(R10, off+44); \
	IN(R11, off+48); \
	IN(R12, off+56); \
	IN(R13, off+60); \
	INSPILLED(0(SP), off+8, into+8); \
	INSPILLED(4(SP), off+32, into+32); \
	INSPILLED(8(SP), off+52, into+52); \
	MOVL AX, (into+0)(R14); \
	MOVL BX, (into+4)(R14); \
	MOVL CX, (into+12)(R14); \
	MOVL DX, (into+16)(R14); \
	MOVL SI, (into+20)(R14); \
	MOVL DI, (into+24)(R14); \
	MOVL BP, (into+28)(R14); \
	MOVL R8, (into+36)(R14); \
	MOVL R9, (into+40)(R14); \
	MOVL R10, (into+44)(R14); \
	MOVL R11, (into+48)(R14); \
	MOVL R12, (into+56)(R14); \
	MOVL R13, (into+60)(R14); \
	DOUBLE; \
	DOUBLE; \
	DOUBLE; \
	DOUBLE; \
	MOVQ 16(SP), R14; \
	OUTSPILLED(0(SP), into+8); \
	OUTSPILLED(4(SP), into+32); \
	OUTSPILLED(8(SP), into+52); \
	OUT(AX, into+0); \
	OUT(BX, into+4); \
	OUT(CX, into+12); \
	OUT(DX, into+16); \
	OUT(SI, into+20); \
	OUT(DI, into+24); \
	OUT(BP, into+28); \
	OUT(R8, into+36); \
	OUT(R9, into+40); \
	OUT(R10, into+44); \
	OUT(R11, into+48); \
	OUT(R12, into+56); \
	OUT(R13, into+60)

// func mixWords(out, a, b *block)
TEXT ·mixWords(SB), 0, $48-24
	MOVQ out+0(FP), R14
	MOVQ R14, 16(SP)
	MOVQ a+8(FP), R14
	MOVQ R14, 24(SP)
	MOVQ b+16(FP), R15
	MOVQ R15, 32(SP)
	MOVQ $8, 40(SP)

	// b comes from anywhere in memory, and all of it is needed.
	PREFETCHT0 960(R15)
	PREFETCHT0 0(R15)
	PREFETCHT0 64(R15)
	PREFETCHT0 128(R15)
	PREFETCHT0 192(R15)
	PREFETCHT0 256(R15)
	PREFETCHT0 320(R15)
	PREFETCHT0 384(R15)
	PREFETCHT0 448(R15)
	PREFETCHT0 512(R15)
	PREFETCHT0 576(R15)
	PREFETCHT0 640(R15)
	PREFETCHT0 704(R15)
	PREFETCHT0 768(R15)
	PREFETCHT0 832(R15)
	PREFETCHT0 896(R15)

	MOVL 968(R14), AX
	XORL 968(R15), AX
	MOVL AX, 0(SP)
	MOVL 992(R14), AX
	XORL 992(R15), AX
	MOVL AX, 4(SP)
	MOVL 1012(R14), AX
	XORL 1012(R15), AX
	MOVL AX, 8(SP)
	MOVL 960(R14), AX
	XORL 960(R15), AX
	MOVL 964(R14), BX
	XORL 964(R15), BX
	MOVL 972(R14), CX
	XORL 972(R15), CX
	MOVL 976(R14), DX
	XORL 976(R15), DX
	MOVL 980(R14), SI
	XORL 980(R15), SI
	MOVL 984(R14), DI
	XORL 984(R15), DI
	MOVL 988(R14), BP
	XORL 988(R15), BP
	MOVL 996(R14), R8
	XORL 996(R15), R8
	MOVL 1000(R14), R9
	XORL 1000(R15), R9
	MOVL 1004(R14), R10
	XORL 1004(R15), R10
	MOVL 1008(R14), R11
	XORL 1008(R15), R11
	MOVL 1016(R14), R12
	XORL 1016(R15), R12
	MOVL 1020(R14), R13
	XORL 1020(R15), R13

next:
	SALSA(0, 0)
	SALSA(64, 512)
	ADDQ $64, 16(SP)
	ADDQ $128, 24(SP)
	ADDQ $128, 32(SP)
	DECQ 40(SP)
	JNZ  next
	RET
