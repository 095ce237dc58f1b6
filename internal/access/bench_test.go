package access_test

import (
	"fmt"
	"testing"

	"github.com/gantry-platform/gantry/internal/access"
)

func BenchmarkMay(b *testing.B) {
	m, _ := node(b)
	_, secret := createToken(b, m, 0, grant("prod", service), grant("test", viewer))
	identity := byToken(b, m, secret)
	b.ReportAllocs()
	for b.Loop() {
		if !identity.May(access.Serve, "prod") {
			b.Fatal("it may not")
		}
	}
}

func BenchmarkAuthenticate(b *testing.B) {
	m, _ := node(b)
	for i := range 1000 {
		createToken(b, m, 0, grant(fmt.Sprint("namespace", i), service))
	}
	_, token := createToken(b, m, 0, grant("prod", service))
	createUser(b, m, "ann", grant("prod", viewer))
	for name, credential := range map[string]access.Credential{
		"token":          {Token: token, Source: "192.0.2.1:4711"},
		"login":          {Token: login(b, m, "ann", password), Source: "192.0.2.1:4711"},
		"known password": {User: "ann", Password: password, Source: "192.0.2.1:4711"},
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.RunParallel(func(pb *testing.PB) {
				for pb.Next() {
					if _, err := m.Authenticate(b.Context(), credential); err != nil {
						b.Error(err)
					}
				}
			})
		})
	}
}
