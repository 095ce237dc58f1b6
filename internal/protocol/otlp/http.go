package otlp

import (
	"compress/gzip"
	"compress/zlib"
	"encoding/json"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"

	"google.golang.org/genproto/googleapis/rpc/errdetails"
	spb "google.golang.org/genproto/googleapis/rpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/anypb"
	"google.golang.org/protobuf/types/known/durationpb"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/signal/ingest"
)

const (
	typeProtobuf = "application/x-protobuf"
	typeJSON     = "application/json"
)

// Handler serves POST /v1/traces, /v1/metrics and /v1/logs.
func (r *Receiver) Handler() http.Handler {
	mux := http.NewServeMux()
	for _, kind := range signals() {
		mux.HandleFunc("POST "+kind.path, func(w http.ResponseWriter, request *http.Request) { r.post(w, request, kind) })
	}
	return mux
}

func (r *Receiver) post(w http.ResponseWriter, request *http.Request, kind signalKind) {
	contentType, _, err := mime.ParseMediaType(request.Header.Get("Content-Type"))
	asJSON := contentType == typeJSON
	if err != nil || !asJSON && contentType != typeProtobuf {
		http.Error(w, "Content-Type must be "+typeProtobuf+" or "+typeJSON, http.StatusUnsupportedMediaType)
		return
	}
	namespace := edge.NamespaceOf(request)
	ctx, err := edge.Identify(request, r.options.Access, access.Credential{})
	if err == nil {
		err = r.admit(ctx, namespace)
	}
	var body []byte
	if err == nil {
		body, err = readBody(w, request)
	}
	var result taken
	if err == nil {
		result, err = kind.export(r, ctx, namespace, body, asJSON)
	}
	if err != nil {
		answerError(w, err, asJSON)
		return
	}
	if !asJSON {
		w.Header().Set("Content-Type", typeProtobuf)
		_, _ = w.Write(result.response()) // fails when the sender is gone
		return
	}
	w.Header().Set("Content-Type", typeJSON)
	answer := map[string]any{}
	if result != (taken{}) {
		answer["partialSuccess"] = map[string]string{kind.rejectedName: strconv.FormatInt(result.rejected, 10), "errorMessage": result.message}
	}
	_ = json.NewEncoder(w).Encode(answer)
}

// readBody reads a body of at most [ingest.MaxRequest] bytes, before and after decompression.
func readBody(w http.ResponseWriter, request *http.Request) ([]byte, error) {
	var body io.Reader = http.MaxBytesReader(w, request.Body, ingest.MaxRequest)
	var err error
	switch encoding := strings.ToLower(request.Header.Get("Content-Encoding")); encoding {
	case "", "identity":
	case "gzip":
		body, err = gzip.NewReader(body)
	case "deflate":
		body, err = zlib.NewReader(body)
	default:
		return nil, fault.New(fault.Invalid, "otlp.encoding", "the body is encoded by %q", encoding).At("Content-Encoding").Hinted("use gzip, deflate or none")
	}
	var raw []byte
	if err == nil {
		raw, err = io.ReadAll(io.LimitReader(body, ingest.MaxRequest+1))
	}
	var tooLarge *http.MaxBytesError
	switch {
	case errors.As(err, &tooLarge) || len(raw) > ingest.MaxRequest:
		return nil, fault.New(fault.TooLarge, "otlp.too_large", "the request has more than %d bytes", ingest.MaxRequest).Hinted("send fewer in a batch")
	case err != nil:
		return nil, malformed(err)
	}
	return raw, nil
}

// answerError answers with a google.rpc.Status in the encoding of the request, as the protocol asks for.
func answerError(w http.ResponseWriter, err error, asJSON bool) {
	f := fault.From(err)
	code := edge.Status(f)
	s := &spb.Status{Code: int32(edge.GRPCCode(f)), Message: f.Error()}
	if retryable(f.Code) {
		w.Header().Set("Retry-After", strconv.Itoa(int(ingest.RetryAfter.Seconds())))
		if detail, err := anypb.New(&errdetails.RetryInfo{RetryDelay: durationpb.New(ingest.RetryAfter)}); err == nil {
			s.Details = append(s.Details, detail)
		}
	}
	if code == http.StatusUnauthorized {
		w.Header().Set("WWW-Authenticate", `Bearer realm="gantry", Basic realm="gantry"`)
	}
	encode, contentType := proto.Marshal, typeProtobuf
	if asJSON {
		encode, contentType = protojson.Marshal, typeJSON
	}
	body, err := encode(s)
	if err != nil {
		body = nil // the status code says enough
	}
	w.Header().Set("Content-Type", contentType)
	w.WriteHeader(code)
	_, _ = w.Write(body)
}
