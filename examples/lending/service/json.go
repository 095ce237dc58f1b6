package service

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
)

// maxBody bounds a request and an answer, in bytes. The largest of the fleet has a few hundred.
const maxBody = 16 << 10

// Problem is what an HTTP service answers when it does not do what it was asked.
type Problem struct {
	// Reason is a stable word, Message is for people.
	Reason  string `json:"reason"`
	Message string `json:"message"`
}

// Reply answers with a value as JSON.
func Reply(w http.ResponseWriter, status int, value any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	// An error here is a caller that has gone: there is nobody to tell.
	_ = json.NewEncoder(w).Encode(value)
}

// Read decodes a request's body strictly. It fails for what is not one JSON value of the fields known, or over 16 KiB.
func Read(w http.ResponseWriter, r *http.Request, into any) error {
	decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, maxBody))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		return fmt.Errorf("the body is not what is expected: %w", err)
	}
	if _, err := decoder.Token(); !errors.Is(err, io.EOF) {
		return errors.New("the body goes on after its first JSON value")
	}
	return nil
}

// Call sends a request with a JSON body (none when in is nil), and decodes the answer into one of the values by its
// status. The error is the connection's, or says that the status or the answer was not expected.
func Call(ctx context.Context, client *http.Client, method, url string, in any, answers map[int]any) (status int, err error) {
	var body io.Reader
	if in != nil {
		encoded, err := json.Marshal(in)
		if err != nil {
			return 0, err
		}
		body = bytes.NewReader(encoded)
	}
	request, err := http.NewRequestWithContext(ctx, method, url, body)
	if err != nil {
		return 0, err
	}
	if in != nil {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	// Reading to the end lets the connection be used again.
	content, err := io.ReadAll(io.LimitReader(response.Body, maxBody))
	if err != nil {
		return 0, fmt.Errorf("%s %s: %w", method, url, err)
	}
	into, expected := answers[response.StatusCode]
	if !expected {
		return 0, fmt.Errorf("%s %s: %s: %.200q", method, url, response.Status, content)
	}
	if err := json.Unmarshal(content, into); err != nil {
		return 0, fmt.Errorf("%s %s: %s: the answer cannot be read: %w", method, url, response.Status, err)
	}
	return response.StatusCode, nil
}
