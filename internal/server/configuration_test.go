package server_test

import (
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

// One document is read in every language that has configuration, from the whole node.
func TestConfigurationIsReadInOtherLanguages(t *testing.T) {
	s := start(t, nil)
	for _, name := range []string{"loan/application.properties", "loan.properties"} {
		status, answer := call(t, s, "ReleaseService/Publish", fmt.Sprintf(`{"ref":{"namespace":"default","kind":"Config","name":%q},"content":%q,"release":true}`,
			name, base64.StdEncoding.EncodeToString([]byte("rate=0.12\n"))))
		if status != 200 {
			t.Fatalf("publish: %d %s", status, answer)
		}
	}
	for path, want := range map[string]string{
		"/services/config":                               `"homepageUrl":"http://` + s.HTTPAddress() + `/"`,
		"/ns/default/services/config":                    `"homepageUrl":"http://` + s.HTTPAddress() + `/ns/default/"`,
		"/configs/loan/default/application":              `"configurations":{"rate":"0.12"}`,
		"/ns/default/configs/loan/default/application":   `"configurations":{"rate":"0.12"}`,
		"/configfiles/json/loan/default/application":     `{"rate":"0.12"}`,
		"/spring-config/loan/default":                    `"source":{"rate":"0.12"}`,
		"/ns/default/spring-config/loan-prod.properties": "rate: 0.12\n",
		"/notifications/v2?appId=loan&cluster=default&notifications=%5B%7B%22namespaceName%22:%22application%22,%22notificationId%22:-1%7D%5D": `"namespaceName":"application"`,
	} {
		response, err := http.Get("http://" + s.HTTPAddress() + path)
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(response.Body)
		response.Body.Close()
		if err != nil || response.StatusCode != http.StatusOK || !strings.Contains(string(body), want) {
			t.Errorf("%s: %s %s (%v)", path, response.Status, body, err)
		}
	}
}
