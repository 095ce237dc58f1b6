module github.com/gantry-platform/gantry/conformance/springconfig

go 1.26.0

replace (
	github.com/gantry-platform/gantry => ../..
	github.com/gantry-platform/gantry/conformance => ../
	github.com/gantry-platform/gantry/sdk => ../../sdk
)

require github.com/gantry-platform/gantry/conformance v0.0.0-00010101000000-000000000000
