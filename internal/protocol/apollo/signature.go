package apollo

import (
	"context"
	"crypto/hmac"
	"crypto/sha1"
	"encoding/base64"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/access"
	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	"github.com/gantry-platform/gantry/internal/release"
)

const (
	// scheme begins the Authorization header of signed requests: "Apollo <appId>:<signature>".
	scheme = "Apollo "
	// tolerance is how far the clock of a client may be off, and so how long a signature that somebody overheard is good for. Apollo's
	// own. What is signed is one path, and reading it again tells nothing new.
	tolerance = time.Minute
)

// What became of a signature.
const (
	right   = "right"
	wrong   = "wrong"
	skewed  = "skewed"
	missing = "missing"
)

// authorise says who makes a request for an application, and whether they may read its configuration.
func (h *Handler) authorise(r *http.Request, app string) (context.Context, error) {
	namespace := edge.Namespace(r.Context())
	keys, mode, err := h.keys(r.Context(), namespace, app)
	if err != nil {
		return nil, err
	}
	result := missing
	if len(keys) > 0 {
		result = h.check(r, keys)
		h.signatures.WithLabelValues(string(mode), result).Inc()
		if result == wrong || result == skewed {
			h.log.Debug("a signature is not right", "app", app, "mode", string(mode), "result", result, "source", r.RemoteAddr)
		}
	}
	if result == right {
		return access.NewContext(r.Context(), access.Serving("apollo:"+app, r.RemoteAddr, namespace)), nil
	}
	if mode == policy.AccessKeyFilter && (result != missing || h.access.Disabled()) {
		return nil, unsigned(result)
	}
	ctx, err := h.identify(r)
	if err != nil {
		return nil, err
	}
	return ctx, access.Require(ctx, access.View|access.Serve, namespace)
}

// identify says who makes a request that no access key speaks for. A signature where none is wanted is no credential of ours.
func (h *Handler) identify(r *http.Request) (context.Context, error) {
	if !strings.HasPrefix(r.Header.Get("Authorization"), scheme) {
		return edge.Identify(r, h.access, access.Credential{})
	}
	identity, err := h.access.Authenticate(r.Context(), access.Credential{Source: r.RemoteAddr})
	if err != nil {
		return nil, err
	}
	return access.NewContext(r.Context(), identity), nil
}

// unsigned refuses a request that an access key would have had to sign, in Apollo's words.
func unsigned(result string) error {
	if result == skewed {
		return fault.New(fault.Unauthenticated, "apollo.time_skewed", "RequestTimeTooSkewed: the Timestamp header is off by more than %v", tolerance).
			At("Timestamp").Hinted("set the clocks of the client and of this server right")
	}
	return fault.New(fault.Unauthenticated, "apollo.unsigned", "Unauthorized: the request is not signed by an access key of the application").
		At("Authorization").Hinted("give the client the secret of an enabled key of the AccessKey that is called as the application")
}

// keys returns the enabled keys of an application that are to be held against a signature: those that filter, or, when there are none,
// those that observe. When they cannot be read nobody is let in.
func (h *Handler) keys(ctx context.Context, namespace, app string) ([]policy.AccessKey, policy.AccessKeyMode, error) {
	ref := release.Ref{Namespace: namespace, Kind: policy.KindAccessKey, Name: app}
	if version, _ := h.releases.Wanted(ref, &release.Subject{}); version == 0 {
		return nil, "", nil
	}
	frame, err := h.releases.Resolve(access.NewContext(ctx, access.System("the check of a signature")), ref, release.Subject{})
	if err != nil || frame.Version == 0 {
		return nil, "", err
	}
	all, err := policy.AccessKeys(frame.Event().Version.Format, frame.Event().Version.Content)
	if err != nil {
		return nil, "", err
	}
	for _, mode := range []policy.AccessKeyMode{policy.AccessKeyFilter, policy.AccessKeyObserver} {
		var chosen []policy.AccessKey
		for _, key := range all {
			if key.Mode == mode {
				chosen = append(chosen, key)
			}
		}
		if len(chosen) > 0 {
			return chosen, mode, nil
		}
	}
	return nil, "", nil
}

// check holds the signature of a request against keys.
func (h *Handler) check(r *http.Request, keys []policy.AccessKey) string {
	signature, timestamp, ok := parseSignature(r.Header)
	if !ok {
		return missing
	}
	at, err := strconv.ParseInt(timestamp, 10, 64)
	if off := h.now().Sub(time.UnixMilli(at)); err != nil || off >= tolerance || off <= -tolerance {
		return skewed
	}
	// What the client dialed, as it was sent: the path is signed before it is unescaped.
	signed := timestamp + "\n" + edge.Prefix(r.Context()) + r.URL.EscapedPath()
	if r.URL.RawQuery != "" {
		signed += "?" + r.URL.RawQuery
	}
	found := false
	for _, key := range keys {
		// Each is tried, whichever it is, and compared in constant time.
		found = hmac.Equal([]byte(sign(signed, key.Secret)), []byte(signature)) || found
	}
	if !found {
		return wrong
	}
	return right
}

// parseSignature reads the headers of a signed request; false when it has none. The application's id in it says nothing: it is the one
// of the path whose keys count.
func parseSignature(header http.Header) (signature, timestamp string, ok bool) {
	value, ok := strings.CutPrefix(header.Get("Authorization"), scheme)
	if !ok {
		return "", "", false
	}
	_, signature, _ = strings.Cut(value, ":")
	return signature, header.Get("Timestamp"), true
}

// sign makes a signature: Base64 of HMAC-SHA1, which is what clients use.
func sign(text, secret string) string {
	mac := hmac.New(sha1.New, []byte(secret))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}
