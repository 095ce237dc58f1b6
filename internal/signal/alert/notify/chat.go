package notify

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"net/url"
	"strconv"
	"strings"

	"github.com/gantry-platform/gantry/internal/policy"
)

// The most that a robot takes, in bytes, with room for what stands around it: Slack 40,000 characters, DingTalk 20,000 bytes, WeCom 4,096, Feishu 20 KiB for the request.
const (
	maxSlack    = 30_000
	maxDingTalk = 15_000
	maxWeCom    = 3_800
	maxFeishu   = 12_000
)

func (s *Sender) slack(ctx context.Context, c *policy.Chat, m *Message) error {
	// Slack's own escapes, so that no label calls a whole channel.
	escape := strings.NewReplacer("&", "&amp;", "<", "&lt;", ">", "&gt;").Replace
	color := map[string]string{Firing: "danger", Resolved: "good"}[m.Status]
	text := m.Text(maxSlack, escape)
	_, err := s.post(ctx, c.URL, c.CA, nil, map[string]any{"text": escape(m.Title()),
		"attachments": []any{map[string]any{"color": color, "text": text, "fallback": escape(m.Title())}}})
	return err
}

// harmless keeps texts from holding a robot's tags, by which all members of a group can be called.
func harmless(text string) string { return strings.NewReplacer("<", "‹", ">", "›").Replace(text) }

// markdown keeps the lines of a text apart.
func markdown(m *Message, most int) string {
	title := "**" + harmless(cut(m.Title(), 500)) + "**\n\n"
	return title + m.Text(most-len(title), func(text string) string { return strings.ReplaceAll(harmless(text), "\n", "\n\n") })
}

// dingTalk signs as its robots want it: HMAC-SHA256 of "<milliseconds>\n<secret>" under the secret, in the query.
func (s *Sender) dingTalk(ctx context.Context, c *policy.Chat, m *Message) error {
	target := c.URL
	if c.Secret != "" {
		u, err := url.Parse(c.URL)
		if err != nil {
			return permanent("the URL is not valid")
		}
		at := strconv.FormatInt(s.now().UnixMilli(), 10)
		query := u.Query()
		query.Set("timestamp", at)
		query.Set("sign", signature(c.Secret, at+"\n"+c.Secret))
		u.RawQuery = query.Encode()
		target = u.String()
	}
	answer, err := s.post(ctx, target, c.CA, nil, map[string]any{"msgtype": "markdown", "markdown": map[string]string{"title": harmless(m.Title()), "text": markdown(m, maxDingTalk)}})
	if err != nil {
		return err
	}
	return verdict(answer, "errcode", "errmsg", -1, 130101)
}

func (s *Sender) weCom(ctx context.Context, c *policy.Chat, m *Message) error {
	answer, err := s.post(ctx, c.URL, c.CA, nil, map[string]any{"msgtype": "markdown", "markdown": map[string]string{"content": markdown(m, maxWeCom)}})
	if err != nil {
		return err
	}
	return verdict(answer, "errcode", "errmsg", -1, 45009)
}

// feishu signs as its robots want it: HMAC-SHA256 of nothing under "<seconds>\n<secret>", in the body.
func (s *Sender) feishu(ctx context.Context, c *policy.Chat, m *Message) error {
	body := map[string]any{"msg_type": "text", "content": map[string]string{"text": harmless(cut(m.Title(), 500)) + "\n" + m.Text(maxFeishu, harmless)}}
	if c.Secret != "" {
		at := strconv.FormatInt(s.now().Unix(), 10)
		body["timestamp"], body["sign"] = at, signature(at+"\n"+c.Secret, "")
	}
	answer, err := s.post(ctx, c.URL, c.CA, nil, body)
	if err != nil {
		return err
	}
	return verdict(answer, "code", "msg", 11232, 11233)
}

func signature(key, text string) string {
	mac := hmac.New(sha256.New, []byte(key))
	mac.Write([]byte(text))
	return base64.StdEncoding.EncodeToString(mac.Sum(nil))
}

// verdict reads what a robot says under HTTP 200. Busy are the codes that pass by themselves.
func verdict(answer []byte, codeField, textField string, busy ...int64) error {
	var said map[string]json.RawMessage
	var code int64
	if err := json.Unmarshal(answer, &said); err != nil {
		return permanent("the answer is no JSON; is it the URL of a robot?")
	}
	raw, ok := said[codeField]
	if !ok {
		raw = said["StatusCode"] // Feishu's older robots
	}
	if err := json.Unmarshal(raw, &code); err != nil {
		return permanent("the answer has no %s; is it the URL of a robot?", codeField)
	}
	if code == 0 {
		return nil
	}
	var text string
	_ = json.Unmarshal(said[textField], &text)
	failed := permanent("refused with code %d: %s", code, cut(text, 200))
	for _, b := range busy {
		failed.Temporary = failed.Temporary || code == b
	}
	return failed
}
