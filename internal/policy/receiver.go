package policy

import (
	"crypto/x509"
	"net"
	"net/mail"
	"net/url"
	"reflect"
	"strings"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/policy/source"
)

// KindReceiver is the kind of the documents that say how somebody is told of alerts. They hold secrets and are sealed.
const KindReceiver = "Receiver"

// Limits of a Receiver.
const (
	maxURL        = 2 << 10
	maxHeaders    = 16
	maxRecipients = 50
	maxSecretText = 4 << 10
	maxCA         = 64 << 10
)

// Receiver is a document of kind Receiver: one or several channels, each of which is told.
type Receiver struct {
	Webhook  *Webhook `json:"webhook"`
	Email    *Email   `json:"email"`
	Slack    *Chat    `json:"slack"`
	DingTalk *Chat    `json:"dingTalk"`
	WeCom    *Chat    `json:"weCom"`
	Feishu   *Chat    `json:"feishu"`
	// SendResolved tells of the end of alerts too. Default true.
	SendResolved *bool `json:"sendResolved"`
}

// Webhook posts JSON in the shape of Alertmanager's webhook, version 4.
type Webhook struct {
	URL         string            `json:"url" spec:"required"`
	BearerToken string            `json:"bearerToken"`
	Headers     map[string]string `json:"headers"`
	// CA are certificates (PEM) to trust in place of the system's.
	CA string `json:"ca"`
}

// EmailTLS says how a connection to a mail server is protected.
type EmailTLS string

// The ways.
const (
	// StartTLS begins in the clear and goes over to TLS before anything is said; a server that cannot is refused. It is the default.
	StartTLS EmailTLS = "starttls"
	// TLSFromStart is TLS from the first byte, usually on port 465.
	TLSFromStart EmailTLS = "tls"
	// NoTLS is for a mail server on a network that one trusts; there is no password then.
	NoTLS EmailTLS = "none"
)

// Email sends mail by SMTP.
type Email struct {
	// Server is host:port.
	Server   string   `json:"server" spec:"required"`
	From     string   `json:"from" spec:"required"`
	To       []string `json:"to" spec:"required"`
	Username string   `json:"username"`
	Password string   `json:"password"`
	TLS      EmailTLS `json:"tls"`
	CA       string   `json:"ca"`
}

// Chat posts to a group's robot: of Slack, DingTalk, WeCom or Feishu. The URL is a secret itself.
type Chat struct {
	URL string `json:"url" spec:"required"`
	// Secret signs, for DingTalk and Feishu.
	Secret string `json:"secret"`
	// CA are certificates (PEM) to trust in place of the system's, for a relay of one's own.
	CA string `json:"ca"`
}

type receiverKind struct{}

func (receiverKind) Name() string { return KindReceiver }

func (receiverKind) Formats() []string { return []string{source.YAML, source.JSON, source.TOML} }

func (receiverKind) spec() reflect.Type { return reflect.TypeFor[Receiver]() }

func (receiverKind) Validate(doc Document, _ Library) ([]*fault.Error, error) {
	if !doc.Sensitive {
		return nil, fault.New(fault.Invalid, "receiver.not_sensitive", "a Receiver holds secrets and must be sensitive").
			At("metadata.sensitive").Hinted("set metadata.sensitive to true, so that it is sealed in the state and not shown")
	}
	_, err := ParseReceiver(doc)
	return nil, err
}

// ParseReceiver reads the content of a Receiver. Errors hold nothing of it.
func ParseReceiver(doc Document) (Receiver, error) {
	doc.Sensitive = true
	r, tree, err := decodeSpec[Receiver](doc)
	if err != nil {
		return Receiver{}, err
	}
	c := &receiverCheck{tree: tree}
	if r.Webhook != nil {
		c.webhook(r.Webhook)
	}
	if r.Email != nil {
		c.email(r.Email)
	}
	c.chat("slack", r.Slack, false)
	c.chat("dingTalk", r.DingTalk, true)
	c.chat("weCom", r.WeCom, false)
	c.chat("feishu", r.Feishu, true)
	if c.channels == 0 {
		c.refuse(tree.At(), "receiver.no_channel", "a Receiver has at least one of webhook, email, slack, dingTalk, weCom and feishu", "add one")
	}
	return r, fault.Join(c.faults...)
}

// receiverCheck collects what is wrong. Its messages name no value: everything may be secret.
type receiverCheck struct {
	tree     source.Tree
	faults   []*fault.Error
	channels int
}

func (c *receiverCheck) refuse(at source.Place, reason, message, hint string) {
	c.faults = append(c.faults, at.Fault(reason, "%s", message).Hinted("%s", hint))
}

func (c *receiverCheck) url(channel, text string) {
	at := c.tree.At(channel, "url")
	u, err := url.Parse(text)
	switch {
	case err != nil || len(text) > maxURL || u.Host == "" || (u.Scheme != "http" && u.Scheme != "https"):
		c.refuse(at, "receiver.bad_url", "it is no URL of http or https", "write it whole, such as https://hooks.example.com/alerts")
	case u.User != nil:
		c.refuse(at, "receiver.bad_url", "the URL holds a user or a password", "use bearerToken or headers")
	}
}

func (c *receiverCheck) secret(text string, path ...any) {
	if len(text) > maxSecretText || strings.ContainsAny(text, "\r\n\x00") {
		c.refuse(c.tree.At(path...), "receiver.bad_secret", "it is longer than 4 KiB or has several lines", "give it on one line")
	}
}

func (c *receiverCheck) ca(channel, pem string) {
	if pem == "" {
		return
	}
	if len(pem) > maxCA || !x509.NewCertPool().AppendCertsFromPEM([]byte(pem)) {
		c.refuse(c.tree.At(channel, "ca"), "receiver.bad_ca", "it holds no certificate", "give certificates in PEM, at most 64 KiB")
	}
}

func (c *receiverCheck) webhook(w *Webhook) {
	c.channels++
	c.url("webhook", w.URL)
	c.ca("webhook", w.CA)
	c.secret(w.BearerToken, "webhook", "bearerToken")
	if len(w.Headers) > maxHeaders {
		c.refuse(c.tree.At("webhook", "headers"), "receiver.too_many_headers", "there are more than 16 headers", "take some out")
	}
	for _, name := range sortedKeys(w.Headers) {
		c.secret(w.Headers[name], "webhook", "headers", name)
		if !headerName(name) {
			c.refuse(c.tree.Key("webhook", "headers", name), "receiver.bad_header", "it is no name of a header that can be set", "use letters, digits and '-'; Host and Content-* are Gantry's")
		}
	}
}

func headerName(name string) bool {
	lower := strings.ToLower(name)
	if name == "" || len(name) > 128 || lower == "host" || lower == "transfer-encoding" || lower == "connection" || strings.HasPrefix(lower, "content-") {
		return false
	}
	for _, r := range lower {
		if !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '_') {
			return false
		}
	}
	return true
}

func (c *receiverCheck) email(e *Email) {
	c.channels++
	c.ca("email", e.CA)
	if host, port, err := net.SplitHostPort(e.Server); err != nil || host == "" || port == "" {
		c.refuse(c.tree.At("email", "server"), "receiver.bad_server", "it is no host:port", "such as smtp.example.com:587")
	}
	if _, err := mail.ParseAddress(e.From); err != nil {
		c.refuse(c.tree.At("email", "from"), "receiver.bad_address", "it is no mail address", "such as Gantry <gantry@example.com>")
	}
	if n := len(e.To); n == 0 || n > maxRecipients {
		c.refuse(c.tree.At("email", "to"), "receiver.bad_recipients", "there is no recipient, or more than 50", "use a list of your mail server for more")
	}
	for i, to := range e.To {
		if _, err := mail.ParseAddress(to); err != nil {
			c.refuse(c.tree.At("email", "to", i), "receiver.bad_address", "it is no mail address", "such as ann@example.com")
		}
	}
	c.secret(e.Username, "email", "username")
	c.secret(e.Password, "email", "password")
	switch e.TLS {
	case "":
		e.TLS = StartTLS
	case StartTLS, TLSFromStart:
	case NoTLS:
		if e.Password != "" {
			c.refuse(c.tree.At("email", "password"), "receiver.password_in_clear", "a password is not sent without TLS", "use tls: starttls, or no password")
		}
	default:
		c.refuse(c.tree.At("email", "tls"), "receiver.bad_tls", "it is no way to protect a connection", "use starttls, tls or none")
	}
	if (e.Username == "") != (e.Password == "") {
		c.refuse(c.tree.At("email", "username"), "receiver.half_credentials", "username and password go together", "set both or neither")
	}
}

func (c *receiverCheck) chat(channel string, chat *Chat, signs bool) {
	if chat == nil {
		return
	}
	c.channels++
	c.url(channel, chat.URL)
	c.ca(channel, chat.CA)
	c.secret(chat.Secret, channel, "secret")
	if chat.Secret != "" && !signs {
		c.refuse(c.tree.At(channel, "secret"), "receiver.no_signature", "this channel does not sign", "take the secret out; the URL is the secret here")
	}
}
