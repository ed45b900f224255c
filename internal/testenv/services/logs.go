package services

import (
	"bytes"
	"crypto"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/bundle"
	"github.com/bulla-sign/bulla/internal/testenv/mint"
	"github.com/bulla-sign/bulla/tlog"
)

// canonical writes JSON as RFC 8785 has it, for names and values that need no escapes.
func canonical(v any) []byte {
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // maps and strings
	}
	return bytes.TrimSuffix(out.Bytes(), []byte("\n"))
}

type rawBytes struct {
	RawBytes []byte `json:"rawBytes"`
}

// hashedRekordRequest is CreateEntryRequest of Rekor v2.
type hashedRekordRequest struct {
	Request struct {
		Digest    []byte `json:"digest"`
		Signature struct {
			Content  []byte `json:"content"`
			Verifier struct {
				Certificate *rawBytes `json:"x509Certificate"`
				PublicKey   *rawBytes `json:"publicKey"`
				KeyDetails  string    `json:"keyDetails"`
			} `json:"verifier"`
		} `json:"signature"`
	} `json:"hashedRekordRequestV002"`
}

// leaf checks the request and makes the log's leaf of it.
func (r *hashedRekordRequest) leaf() ([]byte, error) {
	v := r.Request.Signature.Verifier
	name, der := "x509Certificate", []byte(nil)
	switch {
	case v.Certificate != nil && v.PublicKey == nil:
		der = v.Certificate.RawBytes
	case v.PublicKey != nil && v.Certificate == nil:
		name, der = "publicKey", v.PublicKey.RawBytes
	default:
		return nil, errors.New("missing verifier")
	}
	pub, err := publicKey(der)
	if err != nil {
		return nil, err
	}
	details, ok := algorithm.ParseDetails(v.KeyDetails)
	alg, err := algorithm.ForDetails(details)
	if !ok || err != nil || alg.CheckKey(pub) != nil || details == algorithm.Ed25519 {
		return nil, fmt.Errorf("unsupported key details %q", v.KeyDetails)
	}
	digest := r.Request.Digest
	if len(digest) != alg.Hash().Size() || alg.Verify(pub, algorithm.Precomputed(alg.Hash(), digest), r.Request.Signature.Content) != nil {
		return nil, errors.New("verifying signature: invalid signature")
	}
	return canonical(object{"apiVersion": "0.0.2", "kind": "hashedrekord", "spec": object{"hashedRekordV002": object{
		"data": object{"algorithm": strings.Replace(alg.Hash().String(), "SHA-", "SHA2_", 1), "digest": digest},
		"signature": object{
			"content":  r.Request.Signature.Content,
			"verifier": object{"keyDetails": v.KeyDetails, name: object{"rawBytes": der}},
		},
	}}}), nil
}

func publicKey(der []byte) (crypto.PublicKey, error) {
	if cert, err := x509.ParseCertificate(der); err == nil {
		return cert.PublicKey, nil
	}
	return x509.ParsePKIXPublicKey(der)
}

// createV2 is CreateEntry of Rekor v2.
func (s *Services) createV2(w http.ResponseWriter, req *http.Request) {
	var in hashedRekordRequest
	dec := json.NewDecoder(req.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	body, err := in.leaf()
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	log, name := s.World.V2, "v2 "+string(body)
	var e tlog.Entry
	if index, there := s.byName[name]; there {
		if s.Conflict {
			w.Header().Set("X-Log-Index", fmt.Sprint(index))
			refuse(w, http.StatusConflict, "an equivalent entry already exists in the transparency log")
			return
		}
		e = tlog.Entry{LogIndex: int64(index), LogID: log.ID(s.t), Proof: log.Prove(s.t, int64(index), s.Now())}
	} else {
		s.byName[name] = len(log.Leaves())
		e = log.Add(s.t, mint.HashedRekordV2, body, s.Now())
	}
	hashes := []string{}
	for _, h := range e.Proof.Hashes {
		hashes = append(hashes, base64.StdEncoding.EncodeToString(h))
	}
	index := fmt.Sprint(e.LogIndex)
	reply(w, http.StatusCreated, object{
		"logIndex": index, "logId": object{"keyId": e.LogID}, "kindVersion": object{"kind": "hashedrekord", "version": "0.0.2"},
		"integratedTime": "0", "inclusionPromise": nil, "canonicalizedBody": body,
		"inclusionProof": object{
			"logIndex": index, "rootHash": e.Proof.RootHash, "treeSize": fmt.Sprint(e.Proof.TreeSize), "hashes": hashes,
			"checkpoint": object{"envelope": e.Proof.Checkpoint},
		},
	})
}

func (s *Services) checkpointV2(w http.ResponseWriter, _ *http.Request) {
	_, _ = w.Write([]byte(s.World.V2.Checkpoint(s.t, s.Now()))) // a recorder does not fail
}

// tileV2 serves hash tiles of level 0, which are all that a log of less than 256 entries has.
func (s *Services) tileV2(w http.ResponseWriter, req *http.Request) {
	leaves := s.World.V2.Leaves()
	var width int
	if n, err := fmt.Sscanf(req.PathValue("path"), "0/000.p/%d", &width); n != 1 || err != nil || width > len(leaves) {
		refuse(w, http.StatusNotFound, "no such tile")
		return
	}
	_, _ = w.Write(bytes.Join(leaves[:width], nil)) // a recorder does not fail
}

// proposal is a proposed entry of Rekor v1, of the kinds that clients send today.
type proposal struct {
	APIVersion string `json:"apiVersion"`
	Kind       string `json:"kind"`
	Spec       struct {
		Data *struct {
			Hash struct{ Algorithm, Value string }
		}
		Signature *struct {
			Content   []byte
			PublicKey struct{ Content []byte }
		}
		ProposedContent *struct {
			Envelope  string
			Verifiers [][]byte
		}
	} `json:"spec"`
}

// body checks a proposal and makes the canonical entry of it.
func (p *proposal) body() ([]byte, error) {
	switch {
	case p.APIVersion != "0.0.1":
		return nil, fmt.Errorf("version %s is not supported", p.APIVersion)
	case p.Kind == "hashedrekord" && p.Spec.Data != nil && p.Spec.Signature != nil:
		return p.hashedRekord()
	case p.Kind == "dsse" && p.Spec.ProposedContent != nil:
		return p.dsse()
	}
	return nil, fmt.Errorf("a proposed entry of kind %s is not supported", p.Kind)
}

func (p *proposal) hashedRekord() ([]byte, error) {
	hash, known := algorithm.Hash(p.Spec.Data.Hash.Algorithm)
	sum, err := hex.DecodeString(p.Spec.Data.Hash.Value)
	if !known || err != nil {
		return nil, errors.New("invalid hash")
	}
	text := p.Spec.Signature.PublicKey.Content
	if err := verifies(text, algorithm.Precomputed(hash, sum), p.Spec.Signature.Content); err != nil {
		return nil, err
	}
	return canonical(object{"apiVersion": "0.0.1", "kind": "hashedrekord", "spec": object{
		"data":      object{"hash": object{"algorithm": p.Spec.Data.Hash.Algorithm, "value": p.Spec.Data.Hash.Value}},
		"signature": object{"content": p.Spec.Signature.Content, "publicKey": object{"content": text}},
	}}), nil
}

func (p *proposal) dsse() ([]byte, error) {
	env, err := bundle.ParseEnvelope([]byte(p.Spec.ProposedContent.Envelope))
	if err != nil {
		return nil, err
	}
	if len(env.Signatures) != 1 || len(p.Spec.ProposedContent.Verifiers) != 1 {
		return nil, errors.New("one signature and one verifier are needed")
	}
	text, sig := p.Spec.ProposedContent.Verifiers[0], env.Signatures[0].Sig
	if err := verifies(text, algorithm.Bytes(env.PAE()), sig); err != nil {
		return nil, err
	}
	sha := func(data []byte) object {
		return object{"algorithm": "sha256", "value": fmt.Sprintf("%x", sha256.Sum256(data))}
	}
	return canonical(object{"apiVersion": "0.0.1", "kind": "dsse", "spec": object{
		"envelopeHash": sha([]byte(p.Spec.ProposedContent.Envelope)), "payloadHash": sha(env.Payload),
		"signatures": []object{{"signature": sig, "verifier": text}},
	}}), nil
}

// verifies checks a signature by a key or certificate in PEM.
func verifies(text []byte, m algorithm.Message, sig []byte) error {
	block, _ := pem.Decode(text)
	if block == nil {
		return errors.New("invalid public key")
	}
	pub, err := publicKey(block.Bytes)
	if err != nil {
		return err
	}
	for _, alg := range algorithm.Alternatives(pub) {
		if alg.Verify(pub, m, sig) == nil {
			return nil
		}
	}
	return errors.New("verifying signature: invalid signature")
}

// createV1 is Rekor v1's createLogEntry.
func (s *Services) createV1(w http.ResponseWriter, req *http.Request) {
	var in proposal
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	body, err := in.body()
	if err != nil {
		refuse(w, http.StatusBadRequest, "error processing entry: "+err.Error())
		return
	}
	log := s.World.V1
	uuid := log.UUID(body)
	if _, there := s.entries[uuid]; there {
		w.Header().Set("Location", "/api/v1/log/entries/"+uuid)
		refuse(w, http.StatusConflict, "an equivalent entry already exists in the transparency log with UUID "+uuid)
		return
	}
	e := log.Add(s.t, in.Kind+"/"+in.APIVersion, body, s.Now())
	s.entries[uuid] = s.entryV1(uuid, &e, true)
	w.Header().Set("Location", "/api/v1/log/entries/"+uuid)
	w.Header().Set("ETag", uuid)
	reply(w, http.StatusCreated, s.entryV1(uuid, &e, !s.NoProof))
}

func (s *Services) entryV1(uuid string, e *tlog.Entry, proof bool) json.RawMessage {
	verification := object{"signedEntryTimestamp": e.Promise}
	if proof {
		hashes := []string{}
		for _, h := range e.Proof.Hashes {
			hashes = append(hashes, hex.EncodeToString(h))
		}
		verification["inclusionProof"] = object{
			"checkpoint": e.Proof.Checkpoint, "hashes": hashes, "logIndex": e.Proof.LogIndex,
			"rootHash": hex.EncodeToString(e.Proof.RootHash), "treeSize": e.Proof.TreeSize,
		}
	}
	return canonical(object{uuid: object{
		"body": e.Body, "integratedTime": e.IntegratedTime, "logID": hex.EncodeToString(e.LogID), "logIndex": e.LogIndex,
		"verification": verification,
	}})
}

func (s *Services) getV1(w http.ResponseWriter, req *http.Request) {
	uuid := req.PathValue("uuid")
	for known, entry := range s.entries {
		if strings.HasSuffix(known, uuid) {
			reply(w, http.StatusOK, entry)
			return
		}
	}
	refuse(w, http.StatusNotFound, "entry not found")
}

// indexV1 lists the entries whose body names a digest.
func (s *Services) indexV1(w http.ResponseWriter, req *http.Request) {
	var in struct{ Hash string }
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil || !strings.HasPrefix(in.Hash, "sha256:") && !strings.HasPrefix(in.Hash, "sha512:") {
		refuse(w, http.StatusBadRequest, "a hash is needed")
		return
	}
	names := []string{}
	for uuid, entry := range s.entries {
		var e map[string]struct{ Body []byte }
		if err := json.Unmarshal(entry, &e); err != nil {
			s.t.Error(err)
		}
		if strings.Contains(string(e[uuid].Body), in.Hash[len("sha256:"):]) {
			names = append(names, uuid)
		}
	}
	reply(w, http.StatusOK, names)
}

// retrieveV1 finds an entry by what would be proposed.
func (s *Services) retrieveV1(w http.ResponseWriter, req *http.Request) {
	var in struct {
		Entries    []proposal
		EntryUUIDs []string
	}
	if err := json.NewDecoder(req.Body).Decode(&in); err != nil || len(in.Entries)+min(len(in.EntryUUIDs), 1) != 1 || len(in.EntryUUIDs) > 10 {
		refuse(w, http.StatusBadRequest, "one entry is needed, or ten names at most")
		return
	}
	if len(in.EntryUUIDs) > 0 {
		found := []json.RawMessage{}
		for _, uuid := range in.EntryUUIDs {
			if entry, there := s.entries[uuid]; there {
				found = append(found, entry)
			}
		}
		reply(w, http.StatusOK, found)
		return
	}
	body, err := in.Entries[0].body()
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	found := []json.RawMessage{}
	if entry, there := s.entries[s.World.V1.UUID(body)]; there {
		found = append(found, entry)
	}
	reply(w, http.StatusOK, found)
}
