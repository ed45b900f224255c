package trust

import (
	"fmt"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
)

// Encode writes the root as canonical ProtoJSON with [RootMediaType]. Keys and Source are not part of it.
func (r *Root) Encode() ([]byte, error) {
	var w protojson.Writer
	w.Begin("")
	w.String("mediaType", RootMediaType)
	if err := writeLogs(&w, "tlogs", r.Logs); err != nil {
		return nil, err
	}
	if err := writeAuthorities(&w, "certificateAuthorities", r.CAs); err != nil {
		return nil, err
	}
	if err := writeLogs(&w, "ctlogs", r.CTLogs); err != nil {
		return nil, err
	}
	if err := writeAuthorities(&w, "timestampAuthorities", r.TSAs); err != nil {
		return nil, err
	}
	w.End()
	data, err := w.Done()
	if err != nil {
		return nil, fmt.Errorf("trusted root: %w", err)
	}
	return data, nil
}

func writeLogs(w *protojson.Writer, field string, logs []Log) error {
	if len(logs) == 0 {
		return nil
	}
	w.BeginList(field)
	for i := range logs {
		if err := logs[i].write(w); err != nil {
			return fmt.Errorf("trusted root: %s[%d]: %w", field, i, err)
		}
	}
	w.EndList()
	return nil
}

func (l *Log) write(w *protojson.Writer) error {
	raw := l.rawKey
	if raw == nil && l.Key != nil {
		var err error
		if raw, err = algorithm.MarshalPublicKey(l.Key); err != nil {
			return err
		}
	}
	w.Begin("")
	w.String("baseUrl", l.BaseURL)
	if name, ok := algorithm.BundleHashName(l.Hash); ok {
		w.String("hashAlgorithm", name)
	} else {
		l.treeHash.write(w, "hashAlgorithm")
	}
	w.Begin("publicKey")
	w.Bytes("rawBytes", raw)
	if details := (openEnum{l.detailsName, int32(l.Details)}); details.name == "" && details.number != 0 && known(l.Details) {
		w.String("keyDetails", l.Details.String())
	} else {
		details.write(w, "keyDetails")
	}
	writeWindow(w, "validFor", l.Window)
	w.End()
	writeLogID(w, "logId", l.ID)
	writeLogID(w, "checkpointKeyId", l.CheckpointID)
	w.String("operator", l.Operator)
	w.End()
	return nil
}

// known reports whether the enum has a name for d; others are written by number.
func known(d algorithm.Details) bool {
	_, ok := algorithm.ParseDetails(d.String())
	return ok
}

func writeLogID(w *protojson.Writer, field string, id []byte) {
	if len(id) == 0 {
		return
	}
	w.Begin(field)
	w.Bytes("keyId", id)
	w.End()
}

func writeWindow(w *protojson.Writer, field string, window Window) {
	if window.Start.IsZero() && window.End.IsZero() {
		return
	}
	w.Begin(field)
	w.Time("start", window.Start)
	w.Time("end", window.End)
	w.End()
}

func writeAuthorities(w *protojson.Writer, field string, authorities []Authority) error {
	if len(authorities) == 0 {
		return nil
	}
	w.BeginList(field)
	for i, a := range authorities {
		w.Begin("")
		w.Begin("subject")
		w.String("organization", a.Organization)
		w.String("commonName", a.CommonName)
		w.End()
		w.String("uri", a.URI)
		w.Begin("certChain")
		w.BeginList("certificates")
		for j, c := range a.Chain {
			if c == nil || len(c.Raw) == 0 {
				return fmt.Errorf("trusted root: %s[%d]: certificate %d is missing", field, i, j)
			}
			w.Begin("")
			w.Bytes("rawBytes", c.Raw)
			w.End()
		}
		w.EndList()
		w.End()
		writeWindow(w, "validFor", a.Window)
		w.String("operator", a.Operator)
		w.End()
	}
	w.EndList()
	return nil
}
