package consul

import (
	"cmp"
	"math"
	"slices"
	"strings"

	"github.com/gantry-platform/gantry/internal/instance"
	"github.com/gantry-platform/gantry/internal/protocol/edge"
	gantryv1 "github.com/gantry-platform/gantry/sdk/api/gantry/v1"
)

// entry is an instance in Consul's words. It is made once a change of its service and shared: do not change it.
type entry struct {
	instance *instance.Instance
	extra    *extra
	// service is complete but for nothing; checks have no node yet where the node is the agent's, which may be called otherwise.
	service agentService
	checks  []healthCheck
	// status is the aggregate of the checks.
	status string
}

// nameOf is the name of a service to Consul's clients.
func nameOf(service instance.Service) string {
	if service.Group == instance.Default {
		return service.Name
	}
	return service.Group + "@@" + service.Name
}

// serviceOf undoes nameOf.
func serviceOf(namespace, name string) instance.Service {
	if group, rest, found := strings.Cut(name, "@@"); found && group != "" && rest != "" {
		return instance.Service{Namespace: namespace, Group: group, Name: rest}.Normal()
	}
	return instance.Service{Namespace: namespace, Name: name}.Normal()
}

// isNodes reports whether the instances of a service stand for nodes.
func isNodes(service instance.Service) bool {
	return service.Group == nodesGroup && service.Name == nodesName
}

type entriesKey struct{}

// entries are the instances of a service in Consul's words.
func entries(snapshot *instance.Snapshot) []*entry {
	if snapshot == nil {
		return nil
	}
	return snapshot.Form(entriesKey{}, func() any {
		// Protected instances count as well when nothing else is available.
		fallback := len(snapshot.Available()) > 0 && !snapshot.Available()[0].Available()
		all := make([]*entry, len(snapshot.Instances))
		for n, i := range snapshot.Instances {
			all[n] = entryOf(snapshot.Service, i, fallback && i.Protected)
		}
		return all
	}).([]*entry)
}

func entryOf(service instance.Service, i *instance.Instance, protected bool) *entry {
	e := &entry{instance: i, extra: extraOf(i)}
	x, name := e.extra, nameOf(service)
	e.service = agentService{Kind: x.Kind, ID: cmp.Or(x.ID, i.Name()), Service: name, Tags: x.Tags, Meta: edge.Metadata(i), Port: int(i.Port),
		Address: i.Address, SocketPath: x.SocketPath, TaggedAddresses: x.TaggedAddresses, EnableTagOverride: x.EnableTagOverride, Proxy: x.Proxy,
		Connect: x.Connect, Locality: x.Locality, CreateIndex: index(i.Modified), ModifyIndex: index(i.Modified)}
	e.service.Weights = weights{Passing: int(math.Round(i.EffectiveWeight())), Warning: 1}
	if x.WarningWeight != nil {
		e.service.Weights.Warning = *x.WarningWeight
	}
	if i.Protocol != Protocol {
		e.service.ID, e.service.Tags = i.ID, tagsOf(i)
	}
	if e.service.Tags == nil {
		e.service.Tags = []string{}
	}
	e.addChecks(protected)
	e.status = aggregate(e.checks)
	return e
}

// tagsOf makes tags of the labels of another language's instance: "version=v1".
func tagsOf(i *instance.Instance) []string {
	tags := make([]string, 0, len(i.Labels))
	for _, label := range i.Labels {
		tags = append(tags, label.Key+"="+label.Value)
	}
	return tags
}

// addChecks makes Consul's checks of an instance: its own, one for the health that beats or a session found, and one for an operator's
// or the instance's own word that it takes no traffic.
func (e *entry) addChecks(protected bool) {
	i := e.instance
	check := healthCheck{Node: e.extra.Node, ServiceID: e.service.ID, ServiceName: e.service.Service, ServiceTags: e.service.Tags,
		CreateIndex: index(i.Modified), ModifyIndex: index(i.Modified)}
	states := i.CheckStates()
	for n, asked := range i.Checks {
		words := e.extra.Checks[asked.GetId()]
		c := check
		c.CheckID, c.Name, c.Notes, c.Type = asked.GetId(), cmp.Or(words.Name, "check "+asked.GetId()), words.Notes, cmp.Or(words.Type, typeOf(asked))
		c.Status = statusCritical
		if n < len(states) {
			c.Status, c.Output = statusWord(states[n].Status), states[n].Output
		}
		if asked.Interval != nil {
			c.Interval, c.Timeout = asked.Interval.AsDuration().String(), asked.Timeout.AsDuration().String()
		}
		e.checks = append(e.checks, c)
	}
	if len(i.Checks) == 0 && (i.Protocol != Protocol || i.Health == gantryv1.Health_HEALTH_UNHEALTHY) {
		c := check
		c.CheckID, c.Name, c.Status, c.Output, c.Type = "service:"+e.service.ID, "Health of "+e.service.Service, statusPassing, i.HealthReason, "ttl"
		if i.Health == gantryv1.Health_HEALTH_UNHEALTHY && !protected {
			c.Status = statusCritical
		}
		e.checks = append(e.checks, c)
	}
	if status := i.EffectiveStatus(); status != gantryv1.Status_STATUS_UP {
		c := check
		c.CheckID, c.Name, c.Status, c.Type = maintenancePrefix+e.service.ID, "Service Maintenance Mode", statusCritical, typeMaintenance
		c.Notes = "the instance is " + strings.ToLower(strings.TrimPrefix(status.String(), "STATUS_"))
		e.checks = append(e.checks, c)
	}
}

// typeOf is Consul's word for what a check does.
func typeOf(check *gantryv1.Check) string {
	switch check.Probe.(type) {
	case *gantryv1.Check_Http:
		return "http"
	case *gantryv1.Check_Tcp:
		return "tcp"
	case *gantryv1.Check_Grpc:
		return "grpc"
	default:
		return "ttl"
	}
}

func statusWord(status gantryv1.CheckStatus) string {
	switch status {
	case gantryv1.CheckStatus_CHECK_STATUS_PASSING:
		return statusPassing
	case gantryv1.CheckStatus_CHECK_STATUS_WARNING:
		return statusWarning
	default:
		return statusCritical
	}
}

// aggregate is the worst of the checks' statuses; maintenance is worse than critical.
func aggregate(checks []healthCheck) string {
	order := []string{statusPassing, statusWarning, statusCritical, statusMaint}
	worst := 0
	for _, check := range checks {
		status := check.Status
		if check.CheckID == nodeMaintenance || strings.HasPrefix(check.CheckID, maintenancePrefix) {
			status = statusMaint
		}
		worst = max(worst, slices.Index(order, status))
	}
	return order[worst]
}

// Ids of the checks that mean maintenance.
const (
	maintenancePrefix = "_service_maintenance:"
	nodeMaintenance   = "_node_maintenance"
)

// tagged reports whether all of the tags are there; Consul's clients write them in any case.
func (e *entry) tagged(tags []string) bool {
	for _, tag := range tags {
		if !slices.ContainsFunc(e.service.Tags, func(has string) bool { return strings.EqualFold(has, tag) }) {
			return false
		}
	}
	return true
}

// agent reports whether the instance was registered by the agent's API.
func (e *entry) agent() bool { return e.instance.Protocol == Protocol && e.extra.Node == "" }

// asAgent is the service as the agent shows it: with the address as it was given.
func (e *entry) asAgent() *agentService {
	s := e.service
	if e.extra.NoAddress {
		s.Address = ""
	}
	s.CreateIndex, s.ModifyIndex, s.Datacenter = 0, 0, Datacenter
	return &s
}
