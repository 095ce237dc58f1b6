module github.com/gantry-platform/gantry/conformance

go 1.26.0

replace (
	github.com/gantry-platform/gantry => ../
	github.com/gantry-platform/gantry/sdk => ../sdk
)
