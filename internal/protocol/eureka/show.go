package eureka

import (
	"time"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// Actions of an instance in a list of changes. In a list of everything all are added.
const (
	actionAdded    = "ADDED"
	actionModified = "MODIFIED"
	actionDeleted  = "DELETED"
)

// shownStatus is the status that readers see.
func shownStatus(i *instance.Instance) status {
	s := statusOf(i.EffectiveStatus())
	if i.Health == gantryv1.Health_HEALTH_UNHEALTHY && !i.Protected && s != statusOutOfService {
		return statusDown
	}
	if s == statusDown && i.Protocol == protocol && (i.Override == nil || i.Override.Status == gantryv1.Status_STATUS_UNSPECIFIED) {
		var says info
		says.status = s
		if decodeData(&says, i.ProtocolData, "", "") == nil {
			return says.status
		}
	}
	return s
}

func overriddenStatus(i *instance.Instance) status {
	if i.Override == nil || i.Override.Status == gantryv1.Status_STATUS_UNSPECIFIED {
		return statusUnknown
	}
	return statusOf(i.Override.Status)
}

func milliseconds(t time.Time) int64 {
	if t.IsZero() {
		return 0
	}
	return t.UnixMilli()
}

// show is an instance of any language in Eureka's words.
func show(service instance.Service, i *instance.Instance, action string) *info {
	shown := &info{instanceID: i.ID, app: applicationOf(service), ipAddr: i.Address, hostName: i.Address,
		port: port{number: int(i.Port), enabled: i.Port != 0}, securePort: port{number: 443}, countryID: defaultCountry,
		dataCenter: dataCenter{name: myOwn}, metadata: edge.Metadata(i), vip: addressOf(service),
		lastUpdated: milliseconds(i.ChangedAt), lastDirty: milliseconds(i.ChangedAt), action: action}
	shown.lease = lease{renewalInterval: defaultRenewalInterval, duration: defaultDuration, registered: milliseconds(i.RegisteredAt)}
	if i.TTL > 0 {
		shown.lease.renewalInterval = max(1, int(i.TTL/(3*time.Second)))
		shown.lease.duration = int(i.TTL / time.Second)
	}
	if i.Protocol != protocol || decodeData(shown, i.ProtocolData, i.Address, service.Name) != nil {
		shown.describe(service, i)
	}
	// The registry has the last word on what it knows itself.
	shown.status, shown.overridden = shownStatus(i), overriddenStatus(i)
	switch {
	case shown.port.enabled:
		shown.port.number = int(i.Port)
	case shown.securePort.enabled:
		shown.securePort.number = int(i.Port)
	}
	if i.Override != nil {
		shown.lastUpdated = max(shown.lastUpdated, milliseconds(i.Override.At))
	}
	if shown.status == statusUp {
		shown.lease.up = shown.lease.registered
	}
	return shown
}

// describe makes up what the registrant's language does not say.
func (i *info) describe(service instance.Service, of *instance.Instance) {
	i.hostName, i.vip = of.Address, addressOf(service)
	for _, p := range of.Ports {
		if p.Name == securePortName || p.Name == "https" {
			i.securePort, i.secureVIP = port{number: int(p.Number), enabled: true}, i.vip
			break
		}
	}
	at := base(i.hostName, int(of.Port))
	i.homePageURL, i.statusPageURL, i.healthCheckURL = at+"/", at+"/actuator/info", at+"/actuator/health"
}
