package oidc

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
)

// The SPIFFE Workload API is gRPC over a socket of the machine (SPIFFE_Workload_API.md). One call of it is needed,
// FetchJWTSVID, whose two messages are a few bytes of protocol buffers.

const spiffeSocket = "/tmp/spire-agent/public/api.sock"

func spiffePath(e *Environment) (string, error) {
	address := e.env("SPIFFE_ENDPOINT_SOCKET")
	if address == "" {
		return e.Root + spiffeSocket, nil
	}
	if filepath.IsAbs(address) {
		return address, nil // as cosign has it
	}
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "unix" || u.Path == "" || u.Host != "" {
		return "", fmt.Errorf("SPIFFE_ENDPOINT_SOCKET is %s, neither unix:///PATH nor a path", clean(address))
	}
	return u.Path, nil
}

func lookSPIFFE(e *Environment) (string, bool) {
	path, err := spiffePath(e)
	if err == nil {
		_, err = os.Stat(path)
	} else {
		return "SPIFFE_ENDPOINT_SOCKET", true // and say what is wrong with it when it is used
	}
	return "the socket of SPIFFE_ENDPOINT_SOCKET or " + spiffeSocket, err == nil
}

func getSPIFFE(ctx context.Context, e *Environment) (string, error) {
	path, err := spiffePath(e)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	transport := &http.Transport{
		Protocols: new(http.Protocols),
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "unix", path)
		},
	}
	defer transport.CloseIdleConnections()
	transport.Protocols.SetUnencryptedHTTP2(true)
	message := appendField(nil, 1, []byte(e.audience()))
	frame := append(binary.BigEndian.AppendUint32([]byte{0}, uint32(len(message))), message...)
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://localhost/SpiffeWorkloadAPI/FetchJWTSVID", strings.NewReader(string(frame)))
	if err != nil {
		return "", err
	}
	req.Header = http.Header{
		"Content-Type": {"application/grpc"}, "Te": {"trailers"}, "User-Agent": {e.UserAgent}, "Workload.spiffe.io": {"true"},
	}
	resp, err := (&http.Client{Transport: transport}).Do(req)
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer+1))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnavailable, err)
	}
	status, text := resp.Header.Get("Grpc-Status"), resp.Header.Get("Grpc-Message")
	if status == "" {
		status, text = resp.Trailer.Get("Grpc-Status"), resp.Trailer.Get("Grpc-Message")
	}
	if resp.StatusCode != http.StatusOK || status != "0" {
		return "", fmt.Errorf("the Workload API refused: HTTP %d, gRPC status %s: %s", resp.StatusCode, clean(status), clean(text))
	}
	return parseSVID(data)
}

// parseSVID reads a gRPC frame with a JWTSVIDResponse and returns the token of its first JWTSVID.
func parseSVID(data []byte) (string, error) {
	if len(data) < 5 || len(data) > maxAnswer || data[0] != 0 || int64(binary.BigEndian.Uint32(data[1:])) != int64(len(data)-5) {
		return "", errors.New("the Workload API's answer is not one uncompressed message")
	}
	svid, err := field(data[5:], 1)
	if err != nil {
		return "", err
	}
	token, err := field(svid, 2)
	return string(token), err
}

// appendField writes a field of bytes of a protocol buffers message.
func appendField(to []byte, number uint64, value []byte) []byte {
	to = binary.AppendUvarint(to, number<<3|2)
	return append(binary.AppendUvarint(to, uint64(len(value))), value...)
}

// field returns the first field of bytes with this number.
func field(message []byte, number uint64) ([]byte, error) {
	broken := errors.New("the Workload API's answer is not the message that it should be")
	for len(message) > 0 {
		key, n := binary.Uvarint(message)
		if n <= 0 {
			return nil, broken
		}
		message = message[n:]
		switch key & 7 {
		case 0:
			if _, n = binary.Uvarint(message); n <= 0 {
				return nil, broken
			}
			message = message[n:]
		case 2:
			length, n := binary.Uvarint(message)
			if n <= 0 || length > uint64(len(message)-n) {
				return nil, broken
			}
			value := message[n : n+int(length)]
			if key>>3 == number {
				return value, nil
			}
			message = message[n+int(length):]
		default:
			return nil, broken
		}
	}
	return nil, errors.New("the Workload API has no identity for this workload")
}
