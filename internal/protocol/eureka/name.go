package eureka

import (
	"strings"

	"github.com/gantry-platform/gantry/internal/instance"
)

// groupSeparator stands between the group and the name of services that are not in the default group.
const groupSeparator = "@@"

// serviceOf is the service that a registration belongs to: the one that its virtual address names, if that is in the application.
func serviceOf(namespace, application, vip string) instance.Service {
	service := instance.Service{Namespace: namespace, Group: instance.Default, Name: vip}
	if applicationOf(service) != strings.ToUpper(application) {
		service.Name = strings.ToLower(application)
	}
	return service
}

// addressOf is the vipAddress of a service whose instances have none of their own.
func addressOf(service instance.Service) string {
	if service.Group == instance.Default {
		return service.Name
	}
	return service.Group + groupSeparator + service.Name
}

// applicationOf is the name of the application that a service is in.
func applicationOf(service instance.Service) string { return strings.ToUpper(addressOf(service)) }
