// Package springconfig serves configuration to clients of Spring Cloud Config (spring-cloud-starter-config and whatever reads the
// files that its server makes), under [Prefix].
//
// # Flow
//
// A request names applications, profiles and a label. These make a list of documents, each of which is resolved by
// [release.Releaser.Resolve] for the address that the request came from; those that are there become property sources. Nothing is kept
// beyond a request, and nothing is pushed: clients ask again.
//
// # Words
//
//	Spring Cloud Config        Gantry
//	repository                 namespace; the address begins with /ns/<namespace>, without that it is "default"
//	file                       document of kind Config of that name, such as loan-prod.yml
//	label (branch, tag)        folder of that name: <label>/loan-prod.yml; none, "main" and "master" are no folder
//	version (commit)           a hash over the versions in force that an answer is made of
//	property source            a document, or one of the several of a YAML text
//
// Of the application "loan" with the profiles "a,b" the documents are, the strongest first: loan-b, application-b, loan-a,
// application-a, loan, application; each as .properties, .yml and .yaml, in this order. Of several applications the last
// is the strongest, and "application" is always the weakest of all.
//
// YAML is flattened as Spring does. Of several documents in one text the later are stronger; one with spring.config.activate.on-profile
// (or spring.profiles, as it was called before) counts when its expression fits the profiles of the request.
//
// # Who may
//
// Whoever may view or serve in the namespace. Sensitive documents are delivered to who may serve; anybody else gets an error instead of a
// configuration with holes.
//
// # Imports
//
// release, policy, policy/source, access, fault, edge, and the YAML library to write YAML.
package springconfig
