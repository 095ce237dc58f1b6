module github.com/gantry-platform/gantry/conformance/zipkin

go 1.26.7

require github.com/gantry-platform/gantry/conformance v0.0.0

require (
	github.com/openzipkin/zipkin-go v0.4.3
	golang.org/x/sys v0.19.0 // indirect
	google.golang.org/grpc v1.63.2 // indirect
)

replace github.com/gantry-platform/gantry/conformance => ../
