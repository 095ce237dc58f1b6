package notify

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"mime"
	"mime/quotedprintable"
	"net"
	"net/mail"
	"net/smtp"
	"net/textproto"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/policy"
)

// maxMail bounds the text of a mail, in bytes.
const maxMail = 64 << 10

func (s *Sender) email(ctx context.Context, e *policy.Email, m *Message) error {
	from, to, err := envelope(e)
	if err != nil {
		return err
	}
	content, err := compose(e, from, to, m, s.now())
	if err != nil {
		return permanent("the mail cannot be written")
	}
	host, _, err := net.SplitHostPort(e.Server)
	if err != nil {
		return permanent("the server is no host:port")
	}
	connection, err := s.guard.dial(ctx, "tcp", e.Server)
	if err != nil {
		return err
	}
	defer connection.Close()
	if deadline, ok := ctx.Deadline(); ok {
		_ = connection.SetDeadline(deadline)
	}
	if e.TLS == policy.TLSFromStart {
		secure := tls.Client(connection, tlsFor(host, e.CA))
		if err := secure.HandshakeContext(ctx); err != nil {
			return err
		}
		connection = secure
	}
	client, err := smtp.NewClient(connection, host)
	if err != nil {
		return said(err)
	}
	defer client.Close()
	if err := open(client, e, host); err != nil {
		return err
	}
	return deliver(client, from.Address, to, content)
}

func envelope(e *policy.Email) (from *mail.Address, to []*mail.Address, err error) {
	if from, err = mail.ParseAddress(e.From); err != nil {
		return nil, nil, permanent("the sender is no mail address")
	}
	for _, text := range e.To {
		address, err := mail.ParseAddress(text)
		if err != nil {
			return nil, nil, permanent("a recipient is no mail address")
		}
		to = append(to, address)
	}
	return from, to, nil
}

// open greets, goes over to TLS and logs in.
func open(client *smtp.Client, e *policy.Email, host string) error {
	if e.TLS == policy.StartTLS || e.TLS == "" {
		if ok, _ := client.Extension("STARTTLS"); !ok {
			return permanent("the mail server has no STARTTLS; use tls: tls, or none on a network that you trust")
		}
		if err := client.StartTLS(tlsFor(host, e.CA)); err != nil {
			return said(err)
		}
	}
	if e.Username == "" {
		return nil
	}
	ok, methods := client.Extension("AUTH")
	if _, secure := client.TLSConnectionState(); !secure {
		return permanent("a password is not sent without TLS")
	}
	if !ok {
		return permanent("the mail server takes no login")
	}
	auth := smtp.PlainAuth("", e.Username, e.Password, host)
	if !strings.Contains(" "+strings.ToUpper(methods)+" ", " PLAIN ") {
		auth = &loginAuth{username: e.Username, password: e.Password}
	}
	if err := client.Auth(auth); err != nil {
		var refused *textproto.Error
		if errors.As(err, &refused) && refused.Code < 500 {
			return temporary("the mail server cannot log in now (code %d)", refused.Code)
		}
		return permanent("the mail server refuses the login")
	}
	return nil
}

func deliver(client *smtp.Client, from string, to []*mail.Address, content []byte) error {
	if err := client.Mail(from); err != nil {
		return said(err)
	}
	for _, address := range to {
		if err := client.Rcpt(address.Address); err != nil {
			return said(err)
		}
	}
	w, err := client.Data()
	if err != nil {
		return said(err)
	}
	if _, err := w.Write(content); err != nil {
		return said(err)
	}
	if err := w.Close(); err != nil {
		return said(err)
	}
	// It is delivered: what happens to the goodbye does not matter.
	_ = client.Quit()
	return nil
}

// said is what a mail server answered: 4xx may pass, 5xx does not (RFC 5321, 4.2.1).
func said(err error) error {
	var answer *textproto.Error
	if !errors.As(err, &answer) {
		return err
	}
	if answer.Code >= 400 && answer.Code < 500 {
		return temporary("the mail server answered %d %s", answer.Code, cut(answer.Msg, 200))
	}
	return permanent("the mail server answered %d %s", answer.Code, cut(answer.Msg, 200))
}

// loginAuth is the method LOGIN, which some servers have alone. It is used under TLS only.
type loginAuth struct {
	username, password string
	step               int
}

func (a *loginAuth) Start(*smtp.ServerInfo) (string, []byte, error) { return "LOGIN", nil, nil }

func (a *loginAuth) Next(_ []byte, more bool) ([]byte, error) {
	if !more {
		return nil, nil
	}
	a.step++
	switch a.step {
	case 1:
		return []byte(a.username), nil
	case 2:
		return []byte(a.password), nil
	default:
		return nil, errors.New("the server asks for more than a name and a password")
	}
}

// compose writes a mail of plain text.
func compose(e *policy.Email, from *mail.Address, to []*mail.Address, m *Message, now time.Time) ([]byte, error) {
	var b bytes.Buffer
	names := make([]string, len(to))
	for i, address := range to {
		names[i] = address.String()
	}
	id := make([]byte, 12)
	rand.Read(id) // never fails (crypto/rand)
	_, domain, _ := strings.Cut(from.Address, "@")
	// Titles are of one line, and encoded where they are not plain: no header can be slipped in.
	for _, header := range [][2]string{{"From", from.String()}, {"To", strings.Join(names, ",\r\n ")}, {"Subject", mime.QEncoding.Encode("utf-8", cut(m.Title(), 500))},
		{"Date", now.Format(time.RFC1123Z)}, {"Message-ID", fmt.Sprintf("<%s@%s>", hex.EncodeToString(id), domain)}, {"Auto-Submitted", "auto-generated"},
		{"MIME-Version", "1.0"}, {"Content-Type", "text/plain; charset=utf-8"}, {"Content-Transfer-Encoding", "quoted-printable"}} {
		fmt.Fprintf(&b, "%s: %s\r\n", header[0], header[1])
	}
	b.WriteString("\r\n")
	w := quotedprintable.NewWriter(&b)
	if _, err := w.Write([]byte(strings.ReplaceAll(m.Text(maxMail, nil), "\n", "\r\n"))); err != nil {
		return nil, err
	}
	return b.Bytes(), w.Close()
}
