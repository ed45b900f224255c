package trust

import (
	"errors"
	"fmt"

	"github.com/bulla-sign/bulla/internal/protojson"
)

var selectorNames = []protojson.EnumValue{
	{Name: "SERVICE_SELECTOR_UNDEFINED", Number: int32(SelectUndefined)},
	{Name: "ALL", Number: int32(SelectAll)},
	{Name: "ANY", Number: int32(SelectAny)},
	{Name: "EXACT", Number: int32(SelectExact)},
}

// mediaTypeOnly reads the one field that says what the others are.
var mediaTypeOnly = []protojson.Field[string]{
	{Name: "mediaType", Proto: "media_type", Read: func(d *protojson.Decoder, s *string) error { return d.String(s) }},
}

// ignoreMediaType stands in the tables below, which are chosen by it.
func ignoreMediaType(d *protojson.Decoder, _ *SigningConfig) error {
	var s string
	return d.String(&s)
}

var signingConfigFields = []protojson.Field[SigningConfig]{
	{Name: "mediaType", Proto: "media_type", Read: ignoreMediaType},
	{Name: "caUrls", Proto: "ca_urls", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.List(d, &c.CAs, maxServices, readService)
	}},
	{Name: "oidcUrls", Proto: "oidc_urls", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.List(d, &c.OIDC, maxServices, readService)
	}},
	{Name: "rekorTlogUrls", Proto: "rekor_tlog_urls", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.List(d, &c.Logs, maxServices, readService)
	}},
	{Name: "rekorTlogConfig", Proto: "rekor_tlog_config", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.Object(d, selectionFields, &c.LogConfig)
	}},
	{Name: "tsaUrls", Proto: "tsa_urls", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.List(d, &c.TSAs, maxServices, readService)
	}},
	{Name: "tsaConfig", Proto: "tsa_config", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.Object(d, selectionFields, &c.TSAConfig)
	}},
}

// signingConfigV01Fields is the message of v0.1, which had addresses only.
var signingConfigV01Fields = []protojson.Field[SigningConfig]{
	{Name: "mediaType", Proto: "media_type", Read: ignoreMediaType},
	{Name: "caUrl", Proto: "ca_url", Read: func(d *protojson.Decoder, c *SigningConfig) error { return readOnly(d, &c.CAs) }},
	{Name: "oidcUrl", Proto: "oidc_url", Read: func(d *protojson.Decoder, c *SigningConfig) error { return readOnly(d, &c.OIDC) }},
	{Name: "tlogUrls", Proto: "tlog_urls", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.List(d, &c.Logs, maxServices, readAddress)
	}},
	{Name: "tsaUrls", Proto: "tsa_urls", Read: func(d *protojson.Decoder, c *SigningConfig) error {
		return protojson.List(d, &c.TSAs, maxServices, readAddress)
	}},
}

var serviceFields = []protojson.Field[Service]{
	{Name: "url", Read: func(d *protojson.Decoder, s *Service) error { return readURL(d, &s.URL) }},
	{Name: "majorApiVersion", Proto: "major_api_version", Read: func(d *protojson.Decoder, s *Service) error {
		return d.Uint32(&s.MajorAPIVersion)
	}},
	{Name: "validFor", Proto: "valid_for", Read: func(d *protojson.Decoder, s *Service) error { return readWindow(d, &s.Window) }},
	{Name: "operator", Read: func(d *protojson.Decoder, s *Service) error { return d.String(&s.Operator) }},
}

var selectionFields = []protojson.Field[Selection]{
	{Name: "selector", Read: func(d *protojson.Decoder, s *Selection) error { return d.Enum(selectorNames, (*int32)(&s.Selector)) }},
	{Name: "count", Read: func(d *protojson.Decoder, s *Selection) error { return d.Uint32(&s.Count) }},
}

func readService(d *protojson.Decoder, s *Service) error {
	return protojson.Object(d, serviceFields, s)
}

func readAddress(d *protojson.Decoder, s *Service) error {
	s.MajorAPIVersion = 1 // the only one there was
	return readURL(d, &s.URL)
}

// readOnly reads the address of a service of which there is one; "" is none, as for every string of proto3.
func readOnly(d *protojson.Decoder, list *[]Service) error {
	var s Service
	if err := readAddress(d, &s); err != nil || s.URL == "" {
		return err
	}
	*list = []Service{s}
	return nil
}

// DecodeSigningConfig reads a signing config of v0.2 or v0.1 in ProtoJSON. One of v0.1 becomes services with API version
// 1, open windows, no operator, of which any one log and timestamp authority is to be used.
func DecodeSigningConfig(data []byte) (*SigningConfig, error) {
	limits := protojson.Limits{Bytes: maxDocument, Depth: maxDepth}
	var mediaType string
	err := protojson.Document(data, limits, func(d *protojson.Decoder) error {
		return protojson.OpenObject(d, mediaTypeOnly, &mediaType)
	})
	if err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	var c SigningConfig
	switch mediaType {
	case SigningConfigMediaType:
		err = protojson.Unmarshal(data, limits, signingConfigFields, &c)
	case signingConfigMediaTypeV01:
		err = protojson.Unmarshal(data, limits, signingConfigV01Fields, &c)
		if len(c.Logs) > 0 {
			c.LogConfig.Selector = SelectAny
		}
		if len(c.TSAs) > 0 {
			c.TSAConfig.Selector = SelectAny
		}
	case "":
		err = errors.New("mediaType is missing")
	default:
		err = fmt.Errorf("mediaType is %s, want %q", protojson.Quote(mediaType), SigningConfigMediaType)
	}
	if err == nil {
		err = c.check()
	}
	if err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	return &c, nil
}

// Encode writes the config as canonical ProtoJSON, always v0.2. Both selections are written even when they are empty:
// some readers expect them.
func (c *SigningConfig) Encode() ([]byte, error) {
	if err := c.check(); err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	var w protojson.Writer
	w.Begin("")
	w.String("mediaType", SigningConfigMediaType)
	writeServices(&w, "caUrls", c.CAs)
	writeServices(&w, "oidcUrls", c.OIDC)
	writeServices(&w, "rekorTlogUrls", c.Logs)
	writeSelection(&w, "rekorTlogConfig", c.LogConfig)
	writeServices(&w, "tsaUrls", c.TSAs)
	writeSelection(&w, "tsaConfig", c.TSAConfig)
	w.End()
	data, err := w.Done()
	if err != nil {
		return nil, fmt.Errorf("signing config: %w", err)
	}
	return data, nil
}

func writeServices(w *protojson.Writer, field string, services []Service) {
	if len(services) == 0 {
		return
	}
	w.BeginList(field)
	for _, s := range services {
		w.Begin("")
		w.String("url", s.URL)
		if s.MajorAPIVersion != 0 {
			w.Raw("majorApiVersion", fmt.Append(nil, s.MajorAPIVersion))
		}
		writeWindow(w, "validFor", s.Window)
		w.String("operator", s.Operator)
		w.End()
	}
	w.EndList()
}

func writeSelection(w *protojson.Writer, field string, s Selection) {
	w.Begin(field)
	if s.Selector != SelectUndefined {
		w.String("selector", s.Selector.String())
	}
	if s.Count != 0 {
		w.Raw("count", fmt.Append(nil, s.Count))
	}
	w.End()
}
