package eureka_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"testing"
)

type responses struct {
	ResponseList []struct {
		StatusCode     int
		ResponseEntity *shown
	}
}

// replicate sends a batch as another Eureka server does.
func (n *node) replicate(operations ...string) responses {
	n.t.Helper()
	body := n.must(http.StatusOK, http.MethodPost, "/eureka/peerreplication/batch/", `{"replicationList":[`+strings.Join(operations, ",")+`]}`,
		"Content-Type", "application/json", "Accept", "application/json", "x-netflix-discovery-replication", "true")
	var answer responses
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		n.t.Fatalf("%v in %s", err, body)
	}
	return answer
}

func replication(action, app, id, rest string) string {
	return fmt.Sprintf(`{"appName":%q,"id":%q,"action":%q%s}`, app, id, action, rest)
}

// instanceOf is the inner part of a registration.
func instanceOf(registration string) string {
	var envelope struct{ Instance json.RawMessage }
	if err := json.Unmarshal([]byte(registration), &envelope); err != nil {
		panic(err)
	}
	return string(envelope.Instance)
}

func TestAnotherServerReplicates(t *testing.T) {
	n := start(t)
	registration := instanceOf(strings.Replace(spring("loan", "l1", "UP"), `"overriddenStatus":"UNKNOWN"`, `"overriddenStatus":"OUT_OF_SERVICE"`, 1))
	got := n.replicate(
		replication("Heartbeat", "LOAN", "l1", `,"status":"UP","lastDirtyTimestamp":1795646921500`),
		replication("Register", "LOAN", "l1", `,"lastDirtyTimestamp":1795646921500,"status":"UP","instanceInfo":`+registration),
		replication("Heartbeat", "LOAN", "l1", `,"status":"UP","lastDirtyTimestamp":1795646921500`),
		replication("Heartbeat", "LOAN", "l1", `,"status":"UP","lastDirtyTimestamp":1795646921501`),
		replication("Heartbeat", "LOAN", "l1", `,"status":"UP","lastDirtyTimestamp":7`),
		replication("Cancel", "LOAN", "l2", ""),
		replication("Register", "LOAN", "l2", ""),
		replication("Explode", "LOAN", "l2", ""))
	want := []int{404, 200, 200, 404, 409, 404, 400, 400}
	if len(got.ResponseList) != len(want) {
		t.Fatalf("%+v", got)
	}
	for i, status := range want {
		if got.ResponseList[i].StatusCode != status {
			t.Errorf("operation %d: %d, want %d", i, got.ResponseList[i].StatusCode, status)
		}
	}
	if entity := got.ResponseList[4].ResponseEntity; entity == nil || entity.Dirty != "1795646921500" || entity.ID != "l1" {
		t.Errorf("a server that is behind gets %+v", entity)
	}
	if i := n.one("/eureka/apps/LOAN/l1"); i.Status != "OUT_OF_SERVICE" || i.OverriddenStatus != "OUT_OF_SERVICE" {
		t.Errorf("the override did not come along: %+v", i)
	}
	n.replicate(replication("DeleteStatusOverride", "LOAN", "l1", `,"status":"UP","lastDirtyTimestamp":1795646921500`))
	older := instanceOf(strings.NewReplacer(`"lastDirtyTimestamp":"1795646921500"`, `"lastDirtyTimestamp":"5"`, "10.0.0.7", "10.9.9.9").Replace(spring("loan", "l1", "UP")))
	n.replicate(replication("Register", "LOAN", "l1", `,"instanceInfo":`+older), replication("StatusUpdate", "LOAN", "l1", `,"status":"DOWN","lastDirtyTimestamp":5`))
	if i := n.one("/eureka/apps/LOAN/l1"); i.IPAddr != "10.0.0.7" || i.Status != "DOWN" {
		t.Errorf("what is older replaced what is newer: %+v", i)
	}
	if got := n.replicate(replication("Cancel", "LOAN", "l1", "")); got.ResponseList[0].StatusCode != 200 {
		t.Errorf("%+v", got)
	}
	n.must(http.StatusNotFound, http.MethodGet, "/eureka/apps/LOAN/l1", "")
}

func TestBadBatches(t *testing.T) {
	n := start(t)
	const path = "/eureka/peerreplication/batch/"
	n.must(http.StatusBadRequest, http.MethodPost, path, `{"replicationList":`)
	n.must(http.StatusBadRequest, http.MethodPost, path, `<a/>`)
	n.must(http.StatusBadRequest, http.MethodPost, path, "no gzip", "Content-Encoding", "gzip")
	n.must(http.StatusRequestEntityTooLarge, http.MethodPost, path, `{"replicationList":[`+strings.Repeat(`{},`, 1000)+`{}]}`)
	n.must(http.StatusRequestEntityTooLarge, http.MethodPost, path, strings.Repeat(" ", 9<<20))
	n.must(http.StatusOK, http.MethodPost, path, `{}`)
}
