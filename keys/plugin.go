package keys

import (
	"context"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/bulla-sign/bulla/algorithm"
)

// The plug-in protocol v1 of sigstore's pkg/signature/kms/cliplugin: the program gets "v1" and a JSON request as its
// arguments and a message on standard input, and answers with JSON on standard output. Its exit status means nothing.

const protocolVersion = "v1"

type pluginRequest struct {
	Init      pluginInit    `json:"initOptions"`
	Method    string        `json:"methodName"`
	Default   *struct{}     `json:"defaultAlgorithm,omitempty"`
	Supported *struct{}     `json:"supportedAlgorithms,omitempty"`
	Create    *pluginCreate `json:"createKey,omitempty"`
	PublicKey *pluginPublic `json:"publicKey,omitempty"`
	Sign      *pluginSign   `json:"signMessage,omitempty"`
}

type pluginInit struct {
	Deadline        *time.Time  `json:"ctxDeadline,omitempty"`
	ProtocolVersion string      `json:"protocolVersion"`
	KeyResourceID   string      `json:"keyResourceID"`
	HashFunc        crypto.Hash `json:"hashFunc"` // the number of Go's crypto.Hash, 5 for SHA-256
	RPC             pluginRPC   `json:"rpcOptions"`
}

type pluginRPC struct {
	Deadline           *time.Time `json:"ctxDeadline,omitempty"`
	KeyVersion         string     `json:"keyVersion"`
	RemoteVerification bool       `json:"remoteVerification"`
}

type pluginCreate struct {
	Deadline  *time.Time `json:"ctxDeadline,omitempty"`
	Algorithm string     `json:"algorithm"`
}

type pluginPublic struct {
	Options struct {
		RPC pluginRPC `json:"rpcOptions"`
	} `json:"publicKeyOptions"`
}

type pluginSign struct {
	Options struct {
		RPC     pluginRPC `json:"rpcOptions"`
		Message struct {
			Digest   []byte      `json:"digest,omitempty"`
			HashFunc crypto.Hash `json:"hashFunc,omitempty"`
		} `json:"messageOptions"`
	} `json:"signOptions"`
}

type pluginReply struct {
	ErrorMessage string `json:"errorMessage"`
	Default      *struct {
		Algorithm string `json:"defaultAlgorithm"`
	} `json:"defaultAlgorithm"`
	Supported *struct {
		Algorithms []string `json:"supportedAlgorithms"`
	} `json:"supportedAlgorithms"`
	Create    *pluginPEM `json:"createKey"`
	PublicKey *pluginPEM `json:"publicKey"`
	Sign      *struct {
		Signature []byte `json:"signature"`
	} `json:"signMessage"`
}

type pluginPEM struct {
	PEM []byte `json:"publicKeyPEM"`
}

// plugin is a key held by a plug-in program.
type plugin struct {
	program program
	id      string
	public  crypto.PublicKey
}

func openPlugIn(ctx context.Context, r Reference, env Environment) (Signer, error) {
	prog, err := findProgram(r.Scheme, env)
	if err != nil {
		return nil, err
	}
	p := &plugin{program: prog, id: r.Value}
	reply, err := p.call(ctx, crypto.SHA256, nil, pluginRequest{Method: "publicKey", PublicKey: &pluginPublic{}})
	if err != nil {
		return nil, err
	}
	if p.public, err = reply.PublicKey.parse(prog.name, "publicKey"); err != nil {
		return nil, err
	}
	return p, nil
}

// CreateKey makes a new key in the store that a NAME:// reference points to and returns its public half. alg is one of
// the plug-in's own names; empty means the plug-in's default.
func CreateKey(ctx context.Context, ref, alg string, env Environment) (crypto.PublicKey, error) {
	r, err := ParseReference(ref)
	if err != nil {
		return nil, err
	}
	if r.Kind != PlugIn {
		return nil, fmt.Errorf("keys cannot be created in %q; a key store is named NAME://KEY, with the program %sNAME on PATH", ref, programPrefix)
	}
	prog, err := findProgram(r.Scheme, env)
	if err != nil {
		return nil, err
	}
	p := &plugin{program: prog, id: r.Value}
	if alg, err = p.chooseAlgorithm(ctx, alg); err != nil {
		return nil, err
	}
	reply, err := p.call(ctx, crypto.SHA256, nil, pluginRequest{Method: "createKey", Create: &pluginCreate{Deadline: deadline(ctx), Algorithm: alg}})
	if err != nil {
		return nil, err
	}
	return reply.Create.parse(prog.name, "createKey")
}

func (p *plugin) chooseAlgorithm(ctx context.Context, alg string) (string, error) {
	if alg == "" {
		reply, err := p.call(ctx, crypto.SHA256, nil, pluginRequest{Method: "defaultAlgorithm", Default: &struct{}{}})
		if err != nil {
			return "", err
		}
		if reply.Default == nil || reply.Default.Algorithm == "" {
			return "", fmt.Errorf("%s answered defaultAlgorithm without an algorithm", p.program.name)
		}
		return reply.Default.Algorithm, nil
	}
	reply, err := p.call(ctx, crypto.SHA256, nil, pluginRequest{Method: "supportedAlgorithms", Supported: &struct{}{}})
	if err != nil {
		return "", err
	}
	if reply.Supported == nil {
		return "", fmt.Errorf("%s answered supportedAlgorithms without a list", p.program.name)
	}
	for _, known := range reply.Supported.Algorithms {
		if known == alg {
			return alg, nil
		}
	}
	return "", fmt.Errorf("%s does not make keys for algorithm %q; it does for %s", p.program.name, alg, strings.Join(reply.Supported.Algorithms, ", "))
}

// Public returns the public key that the plug-in named when it was opened.
func (p *plugin) Public() crypto.PublicKey { return p.public }

// Sign sends the message's digest and, where the message can be read again, the message itself, as a stream. The digest
// is optional in the protocol, so that some plug-ins read the message only, while others would rather not see a large one.
// A message that has gone by is sent as its digest alone. Whatever the plug-in took, the signature is checked.
//
// Pure Ed25519 is made over the message, so no digest is sent, and a message that has gone by cannot be signed.
func (p *plugin) Sign(ctx context.Context, alg algorithm.Algorithm, m algorithm.Message) ([]byte, error) {
	if err := alg.CheckKey(p.public); err != nil {
		return nil, err
	}
	memo := memoize(m)
	args := &pluginSign{}
	args.Options.RPC.Deadline = deadline(ctx)
	if !isPureEd25519(alg) {
		digest, err := memo.Digest(alg.Hash(), nil)
		if err != nil {
			return nil, err
		}
		args.Options.Message.Digest = digest
		args.Options.Message.HashFunc = alg.Hash()
	}
	var stdin io.Reader
	message, err := memo.Open()
	switch {
	case err == nil:
		defer message.Close()
		stdin = message
	case !errors.Is(err, errors.ErrUnsupported):
		return nil, err
	case isPureEd25519(alg):
		return nil, fmt.Errorf("%s: pure Ed25519 is made over the message itself, and %w; use Ed25519ph, or a file", p.program.name, err)
	}
	reply, err := p.call(ctx, alg.Hash(), stdin, pluginRequest{Method: "signMessage", Sign: args})
	if err != nil {
		return nil, err
	}
	if reply.Sign == nil || len(reply.Sign.Signature) == 0 {
		return nil, fmt.Errorf("%s answered signMessage without a signature", p.program.name)
	}
	return checkOwn(alg, p.public, memo, reply.Sign.Signature)
}

// call runs the program once. stdin is nil for all methods but those that take a message.
func (p *plugin) call(ctx context.Context, h crypto.Hash, stdin io.Reader, req pluginRequest) (*pluginReply, error) {
	req.Init = pluginInit{
		Deadline:        deadline(ctx),
		ProtocolVersion: protocolVersion,
		KeyResourceID:   p.id,
		HashFunc:        h,
		RPC:             pluginRPC{Deadline: deadline(ctx)},
	}
	args, err := json.Marshal(&req)
	if err != nil {
		return nil, err
	}
	out, err := p.program.run(ctx, stdin, protocolVersion, string(args))
	if err != nil {
		return nil, err
	}
	reply := &pluginReply{}
	if err := json.Unmarshal(out, reply); err != nil {
		return nil, fmt.Errorf("%s answered %s with something that is not the protocol's JSON: %v", p.program.name, req.Method, err)
	}
	if reply.ErrorMessage != "" {
		return nil, fmt.Errorf("%s: %s: %s", p.program.name, req.Method, printable(reply.ErrorMessage))
	}
	return reply, nil
}

func (k *pluginPEM) parse(program, method string) (crypto.PublicKey, error) {
	if k == nil || len(k.PEM) == 0 {
		return nil, fmt.Errorf("%s answered %s without a public key", program, method)
	}
	pub, err := parsePublic(k.PEM)
	if err != nil {
		return nil, fmt.Errorf("%s answered %s with a key that cannot be used: %w", program, method, err)
	}
	return pub, nil
}

func deadline(ctx context.Context) *time.Time {
	if d, ok := ctx.Deadline(); ok {
		return &d
	}
	return nil
}
