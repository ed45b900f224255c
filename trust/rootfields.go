package trust

import (
	"crypto/x509"

	"github.com/bulla-sign/bulla/algorithm"
	"github.com/bulla-sign/bulla/internal/protojson"
)

// openEnum is an enum as it was read: by a name that is not known here, or by number.
type openEnum struct {
	name   string
	number int32
}

func (e *openEnum) read(d *protojson.Decoder, known func(string) (int32, bool)) error {
	return d.EnumFunc(func(name string) (int32, bool) {
		n, ok := known(name)
		if !ok {
			e.name = name
		}
		return n, true
	}, &e.number)
}

func (e openEnum) write(w *protojson.Writer, field string) {
	if e.name != "" {
		w.String(field, e.name)
	} else {
		w.Int32(field, e.number)
	}
}

// The messages as they stand in the file, before they are checked.
type (
	rootMessage struct {
		mediaType string
		root      Root
	}
	logMessage struct {
		baseURL, operator string
		hash              openEnum
		key               keyMessage
		id, checkpointID  []byte
	}
	keyMessage struct {
		raw     []byte
		details openEnum
		window  Window
	}
	authorityMessage struct {
		authority Authority
		chain     []*x509.Certificate
	}
	certificateMessage struct{ raw []byte }
)

var rootFields = []protojson.Field[rootMessage]{
	{Name: "mediaType", Proto: "media_type", Read: func(d *protojson.Decoder, m *rootMessage) error {
		return d.String(&m.mediaType)
	}},
	{Name: "tlogs", Read: func(d *protojson.Decoder, m *rootMessage) error {
		return protojson.List(d, &m.root.Logs, maxLogs, readLog)
	}},
	{Name: "certificateAuthorities", Proto: "certificate_authorities", Read: func(d *protojson.Decoder, m *rootMessage) error {
		return protojson.List(d, &m.root.CAs, maxAuthorities, readCA)
	}},
	{Name: "ctlogs", Read: func(d *protojson.Decoder, m *rootMessage) error {
		return protojson.List(d, &m.root.CTLogs, maxLogs, readCTLog)
	}},
	{Name: "timestampAuthorities", Proto: "timestamp_authorities", Read: func(d *protojson.Decoder, m *rootMessage) error {
		return protojson.List(d, &m.root.TSAs, maxAuthorities, readTSA)
	}},
}

var logFields = []protojson.Field[logMessage]{
	{Name: "baseUrl", Proto: "base_url", Read: func(d *protojson.Decoder, m *logMessage) error { return readURL(d, &m.baseURL) }},
	{Name: "hashAlgorithm", Proto: "hash_algorithm", Read: func(d *protojson.Decoder, m *logMessage) error {
		return m.hash.read(d, hashNumber)
	}},
	{Name: "publicKey", Proto: "public_key", Read: func(d *protojson.Decoder, m *logMessage) error {
		return protojson.Object(d, keyFields, &m.key)
	}},
	{Name: "logId", Proto: "log_id", Read: func(d *protojson.Decoder, m *logMessage) error {
		return protojson.Object(d, logIDFields, &m.id)
	}},
	{Name: "checkpointKeyId", Proto: "checkpoint_key_id", Read: func(d *protojson.Decoder, m *logMessage) error {
		return protojson.Object(d, logIDFields, &m.checkpointID)
	}},
	{Name: "operator", Read: func(d *protojson.Decoder, m *logMessage) error { return d.String(&m.operator) }},
}

var keyFields = []protojson.Field[keyMessage]{
	{Name: "rawBytes", Proto: "raw_bytes", Read: func(d *protojson.Decoder, m *keyMessage) error { return d.Bytes(&m.raw) }},
	{Name: "keyDetails", Proto: "key_details", Read: func(d *protojson.Decoder, m *keyMessage) error {
		return m.details.read(d, func(name string) (int32, bool) {
			details, ok := algorithm.ParseDetails(name)
			return int32(details), ok
		})
	}},
	{Name: "validFor", Proto: "valid_for", Read: func(d *protojson.Decoder, m *keyMessage) error { return readWindow(d, &m.window) }},
}

var logIDFields = []protojson.Field[[]byte]{
	{Name: "keyId", Proto: "key_id", Read: func(d *protojson.Decoder, id *[]byte) error { return d.Bytes(id) }},
}

var windowFields = []protojson.Field[Window]{
	{Name: "start", Read: func(d *protojson.Decoder, w *Window) error { return readTime(d, &w.Start) }},
	{Name: "end", Read: func(d *protojson.Decoder, w *Window) error { return readTime(d, &w.End) }},
}

var authorityFields = []protojson.Field[authorityMessage]{
	{Name: "subject", Read: func(d *protojson.Decoder, m *authorityMessage) error {
		return protojson.Object(d, subjectFields, &m.authority)
	}},
	{Name: "uri", Read: func(d *protojson.Decoder, m *authorityMessage) error { return readURL(d, &m.authority.URI) }},
	{Name: "certChain", Proto: "cert_chain", Read: func(d *protojson.Decoder, m *authorityMessage) error {
		return protojson.Object(d, chainFields, &m.chain)
	}},
	{Name: "validFor", Proto: "valid_for", Read: func(d *protojson.Decoder, m *authorityMessage) error {
		return readWindow(d, &m.authority.Window)
	}},
	{Name: "operator", Read: func(d *protojson.Decoder, m *authorityMessage) error { return d.String(&m.authority.Operator) }},
}

var subjectFields = []protojson.Field[Authority]{
	{Name: "organization", Read: func(d *protojson.Decoder, a *Authority) error { return d.String(&a.Organization) }},
	{Name: "commonName", Proto: "common_name", Read: func(d *protojson.Decoder, a *Authority) error { return d.String(&a.CommonName) }},
}

var chainFields = []protojson.Field[[]*x509.Certificate]{
	{Name: "certificates", Read: func(d *protojson.Decoder, chain *[]*x509.Certificate) error {
		return protojson.List(d, chain, maxChain, func(d *protojson.Decoder, c **x509.Certificate) error {
			var m certificateMessage
			if err := protojson.Object(d, certificateFields, &m); err != nil {
				return err
			}
			var err error
			if *c, err = parseCertificate(m.raw); err != nil {
				return protojson.Fail(err.Error())
			}
			return nil
		})
	}},
}

var certificateFields = []protojson.Field[certificateMessage]{
	{Name: "rawBytes", Proto: "raw_bytes", Read: func(d *protojson.Decoder, m *certificateMessage) error { return d.Bytes(&m.raw) }},
}
