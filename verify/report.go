package verify

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/bulla-sign/bulla/verify/reason"
)

// Outcome is how a check ended.
type Outcome string

// The outcomes of a check.
const (
	// Passed: the check was made and holds.
	Passed Outcome = "passed"
	// Failed: the check was made, or could not be made, and the candidate is refused for it.
	Failed Outcome = "failed"
	// NotRequired: nothing was demanded here; Reason says what was waived or found absent.
	NotRequired Outcome = "not required"
	// NotReached: an earlier failure left nothing to check this with.
	NotReached Outcome = "not reached"
)

// CheckName names a step of the verification, in the order in which the steps are taken. The names are stable.
type CheckName string

// The checks.
const (
	CheckDecode      CheckName = "decode"
	CheckStructure   CheckName = "structure"
	CheckMaterial    CheckName = "verification material"
	CheckTimestamp   CheckName = "timestamp"
	CheckLog         CheckName = "transparency log"
	CheckTime        CheckName = "time"
	CheckPath        CheckName = "certificate path"
	CheckSCT         CheckName = "certificate transparency"
	CheckKeyValidity CheckName = "key validity"
	CheckSignature   CheckName = "signature"
	CheckArtifact    CheckName = "artifact"
	CheckPredicate   CheckName = "predicate type"
	CheckAnnotations CheckName = "annotations"
	CheckIdentity    CheckName = "identity"
	CheckRevocation  CheckName = "revocation"
)

// Fact is one thing that a check used or found, for people.
type Fact struct {
	Key   string `json:"key"`
	Value string `json:"value"`
}

// Check is one step of the verification of one candidate.
type Check struct {
	Name    CheckName   `json:"check"`
	Outcome Outcome     `json:"outcome"`
	Code    reason.Code `json:"code,omitempty"`   // set when Outcome is Failed
	Reason  string      `json:"reason,omitempty"` // set unless Outcome is Passed
	Facts   []Fact      `json:"facts,omitempty"`
	Spec    string      `json:"spec,omitempty"` // the clause that demands the check
}

// VerifiedTime is a time that a trusted party vouches for.
type VerifiedTime struct {
	Time   time.Time `json:"time"`
	Source string    `json:"source"` // "timestamp authority", "transparency log" or "current time"
	By     string    `json:"by"`     // the authority's or the log's name
}

// Signer says who made a verified signature: the holder of a key or of a certificate.
type Signer struct {
	// Principal is what thresholds count: two signatures with the same Principal come from one signer. It is the SHA-256
	// of the key ("key sha256:…"), or issuer and subject name of the certificate.
	Principal string `json:"principal"`
	// KeySHA256 is the lower-case hex SHA-256 of the key's PKIX form.
	KeySHA256 string `json:"keySha256"`
	// KeyName is the policy's name of the key; empty for certificates.
	KeyName string `json:"keyName,omitempty"`
	// Subjects are the certificate's subject alternative names, Issuer its OpenID issuer, Extensions its Fulcio claims.
	Subjects   []string          `json:"subjects,omitempty"`
	Issuer     string            `json:"issuer,omitempty"`
	Extensions map[string]string `json:"extensions,omitempty"`
}

// CandidateReport is what became of one candidate.
type CandidateReport struct {
	// Name says where the candidate was found, as the caller put it.
	Name string `json:"name"`
	// Place is where in a registry it was found; empty elsewhere.
	Place string `json:"place,omitempty"`
	// Format is the candidate's media type, or "cosign" for what was converted from cosign's older formats.
	Format   string `json:"format,omitempty"`
	Verified bool   `json:"verified"`
	// Code and Reason repeat the first failed check; empty when Verified.
	Code   reason.Code `json:"code,omitempty"`
	Reason string      `json:"reason,omitempty"`
	Checks []Check     `json:"checks"`
	// Signer is what the material claims; it is vouched for only when Verified.
	Signer *Signer `json:"signer,omitempty"`
	// Times are the verified times of the signature, Logs the names of the transparency logs that vouch for it.
	Times []VerifiedTime `json:"times,omitempty"`
	Logs  []LoggedAt     `json:"logs,omitempty"`
	// Algorithm is the registry's name of the algorithm that matched.
	Algorithm string `json:"algorithm,omitempty"`
	// PredicateType is the statement's predicate type; empty where there is no statement.
	PredicateType string `json:"predicateType,omitempty"`
	// Annotations are those of the subject that matched.
	Annotations map[string]string `json:"annotations,omitempty"`
	// Payload is the signed claim, byte for byte: the in-toto statement or the simple-signing document. It is there only when
	// Verified, and empty for signatures over the artifact itself.
	Payload []byte `json:"payload,omitempty"`
	// Warnings are things that do not change the verdict and should be known.
	Warnings []string `json:"warnings,omitempty"`
}

// LoggedAt is a verified entry of a transparency log.
type LoggedAt struct {
	Log   string `json:"log"`
	Index int64  `json:"index"`
	Kind  string `json:"kind"`
	// Proof says what vouches for the entry: "inclusion proof", "signed entry timestamp" or both.
	Proof string `json:"proof"`
}

// RootReport says which trusted root was used, and how old it is.
type RootReport struct {
	Name     string `json:"name"`
	SHA256   string `json:"sha256,omitempty"`
	Date     string `json:"date,omitempty"`
	AgeDays  int    `json:"ageDays,omitempty"`
	Embedded bool   `json:"embedded,omitempty"`
}

// Report is the outcome of a verification: every candidate, every check, and why.
type Report struct {
	Verified bool `json:"verified"`
	// Code and Reason say why not; Reason is never empty when Verified is false.
	Code   reason.Code `json:"code,omitempty"`
	Reason string      `json:"reason,omitempty"`
	// Artifact is what the evidence was held against, such as "a.txt" or an image reference; Digest its SHA-256
	// ("sha256:…") where known.
	Artifact   string            `json:"artifact,omitempty"`
	Digest     string            `json:"digest,omitempty"`
	Root       *RootReport       `json:"trustedRoot,omitempty"`
	Candidates []CandidateReport `json:"candidates"`
	// Principals are the distinct signers of the verified candidates, in the order found.
	Principals []string `json:"principals,omitempty"`
	// Nearest is the index of the refused candidate that came closest, -1 when there is none.
	Nearest int `json:"nearest"`
	// NotChecked lists in plain words what this verification did not look at.
	NotChecked []string `json:"notChecked,omitempty"`
}

// Error is a refused report as an error. Use errors.As to get at it.
type Error struct {
	Code   reason.Code
	Report *Report
}

// Error gives the reason in one line.
func (e *Error) Error() string { return e.Report.Reason }

// Err returns nil when the report is verified and an *[Error] otherwise.
func (r *Report) Err() error {
	if r.Verified {
		return nil
	}
	return &Error{Code: r.Code, Report: r}
}

// Failure returns the first failed check, or nil.
func (c *CandidateReport) Failure() *Check {
	for i := range c.Checks {
		if c.Checks[i].Outcome == Failed {
			return &c.Checks[i]
		}
	}
	return nil
}

// outcome returns how a check ended; a check that was not made was not reached.
func (c *CandidateReport) outcome(name CheckName) Outcome {
	for i := range c.Checks {
		if c.Checks[i].Name == name {
			return c.Checks[i].Outcome
		}
	}
	return NotReached
}

// passed counts the checks that hold, to find the nearest miss.
func (c *CandidateReport) passed() int {
	n := 0
	for i := range c.Checks {
		if c.Checks[i].Outcome == Passed {
			n++
		}
	}
	return n
}

// told is oneLine of a text put together from words of the evidence. They are cut before they are quoted: quoting twenty
// megabytes to keep a thousand bytes of them is work that a hostile bundle would get for nothing.
func told(format string, args []any) string {
	short := slices.Clone(args)
	for i, arg := range short {
		if s, ok := arg.(string); ok && len(s) > maxReason {
			short[i] = strings.ToValidUTF8(s[:maxReason], "") + "…"
		}
	}
	return oneLine(fmt.Sprintf(format, short...))
}

// oneLine escapes what could move a cursor, start a line or turn text round: reasons repeat words of unverified evidence,
// and people read them on terminals. It cuts what is longer than maxReason.
func oneLine(s string) string {
	if len(s) > maxReason {
		s = strings.ToValidUTF8(s[:maxReason], "") + "…"
	}
	if strings.IndexFunc(s, unprintable) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if unprintable(r) {
			b.WriteString(strings.Trim(strconv.QuoteRuneToASCII(r), "'"))
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// maxReason bounds a reason in bytes: an envelope's payload type or a predicate type may be megabytes long.
const maxReason = 1000

func unprintable(r rune) bool { return !unicode.IsPrint(r) }
