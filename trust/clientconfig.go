package trust

import (
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/internal/protojson"
)

const clientConfigMediaType = "application/vnd.dev.sigstore.clienttrustconfig.v0.1+json"

type clientConfigMessage struct {
	mediaType           string
	root, signingConfig []byte
}

var clientConfigFields = []protojson.Field[clientConfigMessage]{
	{Name: "mediaType", Proto: "media_type", Read: func(d *protojson.Decoder, m *clientConfigMessage) error {
		return d.String(&m.mediaType)
	}},
	{Name: "trustedRoot", Proto: "trusted_root", Read: func(d *protojson.Decoder, m *clientConfigMessage) error {
		return d.Raw(&m.root)
	}},
	{Name: "signingConfig", Proto: "signing_config", Read: func(d *protojson.Decoder, m *clientConfigMessage) error {
		return d.Raw(&m.signingConfig)
	}},
}

// DecodeClientConfig reads the message ClientTrustConfig, which holds a trusted root and a signing config in one file;
// both must be there. It is what some other clients take for a private deployment.
func DecodeClientConfig(data []byte) (*Root, *SigningConfig, error) {
	var m clientConfigMessage
	limits := protojson.Limits{Bytes: 2 * maxDocument, Depth: maxDepth}
	if err := protojson.Unmarshal(data, limits, clientConfigFields, &m); err != nil {
		return nil, nil, fmt.Errorf("client trust config: %w", err)
	}
	if m.mediaType != clientConfigMediaType {
		return nil, nil, fmt.Errorf("client trust config: mediaType is %s, want %q", protojson.Quote(m.mediaType), clientConfigMediaType)
	}
	if m.root == nil || m.signingConfig == nil {
		return nil, nil, errors.New("client trust config: trustedRoot and signingConfig must both be given")
	}
	root, err := DecodeRoot(m.root)
	if err != nil {
		return nil, nil, fmt.Errorf("client trust config: %w", err)
	}
	config, err := DecodeSigningConfig(m.signingConfig)
	if err != nil {
		return nil, nil, fmt.Errorf("client trust config: %w", err)
	}
	return root, config, nil
}
