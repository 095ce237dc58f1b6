package nacos

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
)

// beat is what a client sends to be kept alive.
type beat struct {
	IP       string   `json:"ip"`
	Port     int      `json:"port"`
	Cluster  string   `json:"cluster"`
	Weight   *float64 `json:"weight"`
	Metadata metadata `json:"metadata"`
}

// instance is the instance that a full beat describes.
func (b *beat) instance() Instance {
	i := newInstance()
	i.IP, i.Port, i.ClusterName, i.Metadata = b.IP, b.Port, b.Cluster, b.Metadata
	if b.Weight != nil {
		i.Weight = *b.Weight
	}
	return i
}

// readBeat reads the beat of a request: its JSON, or for a light one the address alone. full says which.
func readBeat(p params) (b beat, full bool, err error) {
	b.IP, b.Cluster = p.get("ip"), p.get("clusterName")
	if text := p.get("beat"); text != "" {
		cluster := b.Cluster
		if err := json.Unmarshal([]byte(text), &b); err != nil {
			return b, false, invalid("beat", "it is no JSON of a beat").Because(err)
		}
		if strings.TrimSpace(b.Cluster) == "" {
			b.Cluster = cluster
		}
		full = true
	} else if b.Port, err = p.number("port", 0, 0, 65535); err != nil {
		return b, false, err
	}
	i := Instance{IP: b.IP, ClusterName: b.Cluster}
	i.normal()
	b.IP, b.Cluster = i.IP, i.ClusterName
	if b.IP == "" {
		return b, full, missing("ip")
	}
	return b, full, nil
}

// putBeat takes a beat. A full one of an instance that is not there registers it; a light one answers that it is unknown, and the client registers again.
func (a *API) putBeat(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayServe)
	if err != nil {
		return err
	}
	b, full, err := readBeat(x.params)
	if err != nil {
		return err
	}
	id, known, err := a.beat(ctx, service, &b)
	if err != nil {
		return err
	}
	code := codeBeatOK
	if !known && full {
		i := b.instance()
		if err := a.register(ctx, service, &i); err != nil {
			return err
		}
	} else if !known {
		code = codeBeatUnknown
	}
	interval := defaultBeatInterval
	if i := a.Instances.Instance(service, id); i != nil {
		interval = intervalOf(i)
	}
	body := strconv.AppendInt(append(make([]byte, 0, 80), `{"code":`...), int64(code), 10)
	body = strconv.AppendInt(append(body, `,"clientBeatInterval":`...), interval.Milliseconds(), 10)
	x.json(http.StatusOK, append(body, `,"lightBeatEnabled":true}`...)) // bare in v2 too
	return nil
}

// beatLight is v3's beat: a registration with heartBeat=true. That the instance is unknown is an answer and no error.
func (a *API) beatLight(ctx context.Context, x *exchange) error {
	service, err := x.service(ctx, mayServe)
	if err != nil {
		return err
	}
	b, _, err := readBeat(x.params)
	if err != nil {
		return err
	}
	_, known, err := a.beat(ctx, service, &b)
	if err != nil {
		return err
	}
	if !known {
		x.json(http.StatusOK, []byte(`{"code":21003,"message":"instance not found","data":null}`))
		return nil
	}
	return x.done()
}

// beat keeps an instance alive. It returns the id that the instance has or would get, and whether it is known.
func (a *API) beat(ctx context.Context, service instance.Service, b *beat) (id string, known bool, err error) {
	ids := [1]string{string(appendInstanceID(nil, b.IP, b.Port, b.Cluster, service))}
	unknown, err := a.Instances.Beat(ctx, service, ids[:])
	if err != nil || len(unknown) == 0 {
		return ids[0], err == nil, err
	}
	// Its client may have chosen the id. What another protocol registered is kept alive by that.
	i := find(a.Instances.Lookup(service), b.IP, b.Port, b.Cluster)
	if i == nil || i.Protocol != protocol || i.ID == ids[0] {
		return ids[0], false, nil
	}
	unknown, err = a.Instances.Beat(ctx, service, []string{i.ID})
	return i.ID, err == nil && len(unknown) == 0, err
}

// intervalOf is how often an instance asked to beat.
func intervalOf(i *instance.Instance) time.Duration {
	text, found := i.Metadata.Lookup(beatIntervalKey)
	if !found {
		return defaultBeatInterval
	}
	return millis(map[string]string{beatIntervalKey: text}, beatIntervalKey, defaultBeatInterval)
}
