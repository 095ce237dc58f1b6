package nacos

import (
	"context"
	"strconv"

	"github.com/gantry-platform/gantry/internal/fault"
	"github.com/gantry-platform/gantry/internal/release"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// entry is a version of a configuration as Nacos's history has it. Its id is the version's number.
type entry struct {
	ID               string `json:"id"`
	LastID           int    `json:"lastId"`
	DataID           string `json:"dataId"`
	Group            string `json:"group"`
	Tenant           string `json:"tenant"`
	AppName          string `json:"appName"`
	MD5              string `json:"md5"`
	Content          string `json:"content,omitempty"`
	SrcIP            string `json:"srcIp"`
	SrcUser          string `json:"srcUser"`
	OpType           string `json:"opType"`
	PublishType      string `json:"publishType"`
	CreatedTime      string `json:"createdTime"`
	LastModifiedTime string `json:"lastModifiedTime"`
	EncryptedDataKey string `json:"encryptedDataKey"`
}

func (k configKey) entry(v *gantryv1.Version) entry {
	about := aboutOf(v.GetMessage())
	e := entry{ID: formatInt(v.GetVersion()), LastID: -1, DataID: k.dataID, Group: groupNameOf(k.group), Tenant: tenantOf(k.namespace), AppName: about.app,
		SrcUser: v.GetAuthor(), OpType: "U         ", PublishType: "formal", EncryptedDataKey: about.dataKey,
		CreatedTime: stamp(v.GetCreatedAt().AsTime()), LastModifiedTime: stamp(v.GetCreatedAt().AsTime())}
	if v.GetVersion() == 1 {
		e.OpType = "I         " // as wide as Nacos's column
	}
	return e
}

// getHistory serves v1's path: with a nid one entry, otherwise the list.
func (a *API) getHistory(ctx context.Context, x *exchange) error {
	if x.get("nid") != "" && x.get("search") == "" {
		return a.getHistoryDetail(ctx, x)
	}
	return a.getHistoryList(ctx, x)
}

// getHistoryList answers a page of a configuration's versions, newest first.
func (a *API) getHistoryList(ctx context.Context, x *exchange) error {
	key, err := x.configKey()
	if err != nil {
		return err
	}
	p, err := x.page(100)
	if err != nil {
		return err
	}
	_, versions, _, err := a.Releases.History(ctx, key.ref(), release.MaxPage)
	if err != nil && !fault.Is(err, fault.NotFound) {
		return err
	}
	from, until := p.of(len(versions))
	answer := list{Total: len(versions), Number: p.number, Available: p.pages(len(versions)), Items: []any{}}
	for _, v := range versions[from:until] {
		answer.Items = append(answer.Items, key.entry(v))
	}
	return x.value(answer)
}

// getHistoryDetail answers a version with its content.
func (a *API) getHistoryDetail(ctx context.Context, x *exchange) error {
	number, err := x.number("nid", 0, 1, maxVersion)
	if err != nil {
		return err
	}
	if number == 0 {
		return missing("nid")
	}
	return a.answerVersion(ctx, x, int64(number))
}

// getPrevious answers the version before the one that is named.
func (a *API) getPrevious(ctx context.Context, x *exchange) error {
	number, err := x.number("id", 0, 1, maxVersion)
	if err != nil {
		return err
	}
	if number == 0 {
		return missing("id")
	}
	return a.answerVersion(ctx, x, int64(number)-1)
}

// maxVersion is the largest number that a version may have here.
const maxVersion = 1 << 53

func (a *API) answerVersion(ctx context.Context, x *exchange, number int64) error {
	key, err := x.configKey()
	if err != nil {
		return err
	}
	if number == 0 { // Get takes 0 for the released one
		return fault.New(fault.NotFound, "nacos.no_history", "there is no version before the first")
	}
	_, v, err := a.Releases.Get(ctx, key.ref(), number)
	if err != nil {
		return err
	}
	e := key.entry(v)
	if !v.GetWithheld() {
		e.Content, e.MD5 = string(v.GetContent()), a.digests.of(v.GetChecksum(), v.GetContent())
	}
	return x.value(e)
}

func formatInt(n int64) string { return strconv.FormatInt(n, 10) }
