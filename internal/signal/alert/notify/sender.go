package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
)

// The channels of a Receiver.
const (
	ChannelWebhook  = "webhook"
	ChannelEmail    = "email"
	ChannelSlack    = "slack"
	ChannelDingTalk = "dingTalk"
	ChannelWeCom    = "weCom"
	ChannelFeishu   = "feishu"
)

// Channels are those that a receiver has, in a fixed order.
func Channels(r policy.Receiver) []string {
	var all []string
	for _, channel := range []struct {
		name string
		has  bool
	}{{ChannelWebhook, r.Webhook != nil}, {ChannelEmail, r.Email != nil}, {ChannelSlack, r.Slack != nil}, {ChannelDingTalk, r.DingTalk != nil},
		{ChannelWeCom, r.WeCom != nil}, {ChannelFeishu, r.Feishu != nil}} {
		if channel.has {
			all = append(all, channel.name)
		}
	}
	return all
}

// Error is a delivery that failed. Its text holds no secret.
type Error struct {
	Text string
	// Temporary failures may pass: of networks, of servers that are overloaded.
	Temporary bool
}

func (e *Error) Error() string { return e.Text }

func permanent(format string, args ...any) *Error { return &Error{Text: fmt.Sprintf(format, args...)} }
func temporary(format string, args ...any) *Error {
	return &Error{Text: fmt.Sprintf(format, args...), Temporary: true}
}

// Sender delivers messages. It may be used concurrently.
type Sender struct {
	guard guard
	now   func() time.Time
}

// NewSender makes a sender. Allow are networks that connections may go to although they are of this machine, its link or a cloud's; now is the clock for signatures, nil
// for time.Now.
func NewSender(allow []netip.Prefix, now func() time.Time) *Sender {
	if now == nil {
		now = time.Now
	}
	return &Sender{guard: guard{allow: allow, refuse: refused()}, now: now}
}

// Send delivers a message once, over one channel of a receiver. The error is an *[Error].
func (s *Sender) Send(ctx context.Context, r policy.Receiver, channel string, m *Message) error {
	ctx, cancel := context.WithTimeout(ctx, sendTimeout)
	defer cancel()
	var err error
	switch {
	case channel == ChannelWebhook && r.Webhook != nil:
		err = s.webhook(ctx, r.Webhook, m)
	case channel == ChannelEmail && r.Email != nil:
		err = s.email(ctx, r.Email, m)
	case channel == ChannelSlack && r.Slack != nil:
		err = s.slack(ctx, r.Slack, m)
	case channel == ChannelDingTalk && r.DingTalk != nil:
		err = s.dingTalk(ctx, r.DingTalk, m)
	case channel == ChannelWeCom && r.WeCom != nil:
		err = s.weCom(ctx, r.WeCom, m)
	case channel == ChannelFeishu && r.Feishu != nil:
		err = s.feishu(ctx, r.Feishu, m)
	default:
		err = permanent("the receiver has no channel %s", channel)
	}
	return withoutSecrets(err, r)
}

// withoutSecrets makes sure that an error tells nothing, wherever its words come from.
func withoutSecrets(err error, r policy.Receiver) error {
	if err == nil {
		return nil
	}
	var known *Error
	if !errors.As(err, &known) {
		known = connection(err)
	}
	text := strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(known.Text, "?"))
	for _, secret := range secrets(r) {
		text = strings.ReplaceAll(text, secret, "(not shown)")
	}
	return &Error{Text: cut(text, 512), Temporary: known.Temporary}
}

func secrets(r policy.Receiver) []string {
	var all []string
	add := func(texts ...string) {
		for _, text := range texts {
			if len(text) > 3 {
				all = append(all, text)
			}
		}
	}
	if r.Webhook != nil {
		add(r.Webhook.URL, r.Webhook.BearerToken)
		for _, value := range r.Webhook.Headers {
			add(value)
		}
	}
	if r.Email != nil {
		add(r.Email.Password)
	}
	for _, chat := range []*policy.Chat{r.Slack, r.DingTalk, r.WeCom, r.Feishu} {
		if chat == nil {
			continue
		}
		add(chat.URL, chat.Secret)
		// The token of a robot, wherever in the URL it is.
		for _, part := range strings.FieldsFunc(chat.URL, func(c rune) bool { return strings.ContainsRune("/?&=", c) }) {
			if len(part) >= 16 {
				add(part)
			}
		}
	}
	// The longest first, so that none is left in part.
	slices.SortFunc(all, func(a, b string) int { return len(b) - len(a) })
	return all
}

// connection says what went wrong on the way, without the URL that Go's own errors hold.
func connection(err error) *Error {
	var dns *net.DNSError
	var authority x509.UnknownAuthorityError
	var hostname x509.HostnameError
	var verification *tls.CertificateVerificationError
	var invalid x509.CertificateInvalidError
	var record tls.RecordHeaderError
	switch {
	case errors.Is(err, errRefused):
		return permanent("%s; --alert-allow-networks can allow it", errRefused)
	case errors.As(err, &authority), errors.As(err, &hostname), errors.As(err, &invalid), errors.As(err, &verification):
		return permanent("the certificate is not trusted, or not for this name; see the field ca")
	case errors.As(err, &dns):
		return temporary("the name cannot be resolved")
	case errors.Is(err, context.DeadlineExceeded), isTimeout(err):
		return temporary("no answer within %s", sendTimeout)
	case errors.Is(err, context.Canceled):
		return temporary("broken off")
	case errors.Is(err, syscall.ECONNREFUSED):
		return temporary("the connection was refused: nothing listens at that address and port")
	case errors.Is(err, syscall.EHOSTUNREACH), errors.Is(err, syscall.ENETUNREACH):
		return temporary("there is no route to the address")
	case errors.Is(err, http.ErrSchemeMismatch), errors.As(err, &record):
		return temporary("the other side does not speak TLS on that port")
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return temporary("the connection broke before there was an answer")
	default:
		return temporary("cannot connect, or the connection broke")
	}
}

func isTimeout(err error) bool {
	var timeout net.Error
	return errors.As(err, &timeout) && timeout.Timeout()
}

// post sends JSON and answers the beginning of what came back.
func (s *Sender) post(ctx context.Context, url, ca string, header http.Header, body any) ([]byte, error) {
	data, err := json.Marshal(body)
	if err != nil {
		return nil, permanent("the message cannot be written as JSON")
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(data))
	if err != nil {
		return nil, permanent("the URL is not valid")
	}
	for name, values := range header {
		request.Header[name] = values
	}
	request.Header.Set("Content-Type", "application/json")
	if request.Header.Get("User-Agent") == "" {
		request.Header.Set("User-Agent", "Gantry")
	}
	response, err := s.guard.client(ca).Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(io.LimitReader(response.Body, maxAnswer))
	switch code := response.StatusCode; {
	case code >= 200 && code < 300:
		return answer, err
	case code >= 300 && code < 400:
		return nil, permanent("answered HTTP %d; redirects are not followed", code)
	case code == http.StatusTooManyRequests || code == http.StatusRequestTimeout || code >= 500:
		return nil, temporary("answered HTTP %d", code)
	default:
		return nil, permanent("answered HTTP %d", code)
	}
}
