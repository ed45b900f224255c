package services

import (
	"io"
	"net/http"

	"github.com/bulla-sign/bulla/internal/testenv"
	"github.com/bulla-sign/bulla/timestamp"
)

// timestamp answers a TimeStampReq in DER (RFC 3161 3.4).
func (s *Services) timestamp(w http.ResponseWriter, req *http.Request) {
	if req.Header.Get("Content-Type") != "application/timestamp-query" {
		refuse(w, http.StatusUnsupportedMediaType, "unsupported media type")
		return
	}
	der, err := io.ReadAll(req.Body)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	query, err := timestamp.ParseRequest(der)
	if err != nil {
		refuse(w, http.StatusBadRequest, err.Error())
		return
	}
	token := testenv.TSAToken{Hash: query.HashAlgorithm, Info: func(info *testenv.TSAInfo) {
		info.Imprint.Sum, info.Nonce = query.Imprint, query.Nonce
	}}
	if query.Certificates {
		token.Embed = [][]byte{s.World.TSA.Leaf.Raw}
	}
	out, err := s.World.TSA.StampWith(nil, s.Now(), token)
	if err != nil {
		s.t.Error(err)
		refuse(w, http.StatusInternalServerError, err.Error())
		return
	}
	w.Header().Set("Content-Type", "application/timestamp-reply")
	w.WriteHeader(http.StatusOK)
	_, _ = w.Write(out) // a recorder does not fail
}
