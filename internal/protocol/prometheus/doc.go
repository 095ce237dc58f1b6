// Package prometheus speaks the HTTP API of Prometheus over our series: queries, series and labels, metadata, exemplars, rules, alerts and targets, remote read
// and remote write (https://prometheus.io/docs/prometheus/latest/querying/api/). Grafana's Prometheus data source works on it with the
// address http://host:8848/prometheus.
//
// # Why not Prometheus's own handlers
//
// They come with rules, notifications, service discovery and administration, which would all have to be switched off again, and know neither namespaces nor
// our rights. The engine, the parser and the handlers of remote read and write are Prometheus's own; what is here turns parameters into calls and answers into JSON.
//
// # Namespaces and rights
//
// /ns/<namespace>/prometheus/... needs the right to view that namespace and sees nothing else: the selectors themselves are confined, see series.View. The bare
// path sees all namespaces and what belongs to none, and needs the right to view all. Remote write needs the right to serve in the namespace of its path, the default
// one on the bare path; what is written gets that namespace, and a label "namespace" of the sender's own becomes "exported_namespace".
//
// # What is not there
//
// Administration (delete, snapshot), flags, configuration and the search API answer 404.
//
// It imports series, access, fault, protocol/edge and Prometheus's packages. It keeps nothing.
package prometheus
