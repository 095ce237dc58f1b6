package instance

import "time"

// Limits of one registration. They hold for every protocol.
const (
	// MaxNameBytes bounds the names of groups and services. Java class names with version and group, as Dubbo uses
	// them, stay under it.
	MaxNameBytes = 512
	// MaxNamespaceBytes bounds the names of namespaces.
	MaxNamespaceBytes = 128
	// MaxIDBytes bounds instance ids; Nacos builds ids from address, port, cluster, group and service.
	MaxIDBytes = 1024
	// MaxAddressBytes is the length of the longest host name (RFC 1035).
	MaxAddressBytes = 253
	// MaxLabels, MaxLabelKeyBytes and MaxLabelValueBytes bound labels, which every subscriber holds in memory.
	MaxLabels          = 64
	MaxLabelKeyBytes   = 128
	MaxLabelValueBytes = 512
	// MaxMetadata and MaxMetadataBytes bound metadata in all.
	MaxMetadata      = 128
	MaxMetadataBytes = 16 << 10
	// MaxProtocolData bounds what a protocol keeps for itself with an instance: every node holds it in memory.
	MaxProtocolData = 8 << 10
	// MaxPorts bounds named ports, and MaxPortNameBytes each name.
	MaxPorts         = 64
	MaxPortNameBytes = 64
	// MaxChecks bounds the checks of an instance. Node checks of Consul's external nodes are some dozens.
	MaxChecks = 32
	// MaxCheckBytes bounds one check with its path and headers.
	MaxCheckBytes = 4 << 10
	// MaxOutputBytes bounds what a check says beside its status: every subscriber holds it.
	MaxOutputBytes = 1 << 10
	// MaxWeight is the largest weight.
	MaxWeight = 10000
	// MaxBatch bounds the registrations or ids of one call.
	MaxBatch = 1000
	// MaxMessageBytes bounds what an operator writes beside a change.
	MaxMessageBytes = 1024
)

// Times of an instance's life.
const (
	// DefaultTTL is the silence that makes an instance unhealthy: three beats of 5 s.
	DefaultTTL = 15 * time.Second
	// MinTTL keeps beats rare enough for a busy machine; MaxTTL keeps the dead from staying.
	MinTTL = time.Second
	MaxTTL = time.Hour
	// MaxRemoveAfter is how long an unhealthy instance may ask to stay.
	MaxRemoveAfter = 24 * time.Hour
	// DefaultCheckInterval, MinCheckInterval, MaxCheckInterval and DefaultCheckTimeout bound active checks.
	DefaultCheckInterval = 10 * time.Second
	MinCheckInterval     = time.Second
	MaxCheckInterval     = time.Hour
	DefaultCheckTimeout  = 3 * time.Second
	// DefaultCheckFailures and DefaultCheckSuccesses in a row make unhealthy and healthy. MaxCheckCount bounds both.
	DefaultCheckFailures  = 3
	DefaultCheckSuccesses = 2
	MaxCheckCount         = 100
	// MaxCheckTTL bounds the silence of a check that waits for reports.
	MaxCheckTTL = 24 * time.Hour
	// MinDeregisterAfter keeps a short trouble from removing an instance that nobody would register again; it is Consul's too.
	// MaxDeregisterAfter is more than anybody waits.
	MinDeregisterAfter = time.Minute
	MaxDeregisterAfter = 30 * 24 * time.Hour
)

// ProtectThreshold is the share of a service that may be lost at once before the lost are protected, where the service has no setting
// of its own.
const ProtectThreshold = 0.5

// protectMinimum is the smallest number of ephemeral instances that protection makes sense for: of two, losing
// one is half, and that is what redundancy is for.
const protectMinimum = 3

// ProtectLimit is how long a protected instance stays once the rest of its service is healthy.
const ProtectLimit = time.Hour

// Waits of a drain.
const (
	DefaultDrainWait = 10 * time.Second
	MaxDrainWait     = 5 * time.Minute
)

// Limits bound what one cluster holds. They are checked against this node's mirror, so that
// concurrent registrations may pass them by a little.
type Limits struct {
	// Instances of the whole cluster. Default 1,000,000, about 1 GB on each node.
	Instances int
	// NamespaceInstances bounds each namespace, so that one environment cannot take the room of all. Default 500,000.
	NamespaceInstances int
	// ServiceInstances bounds each service: every subscriber holds all of it. Default 20,000.
	ServiceInstances int
	// Services known to the node, subscribed ones included. Default 100,000.
	Services int
	// Provisional registrations this node takes without quorum. Default 50,000.
	Provisional int
	// Subscriptions of one subscriber. Default 1,000.
	Subscriptions int
	// SessionInstances bounds one session. Default 10,000.
	SessionInstances int
	// Namespaces of the cluster. Default 1,000.
	Namespaces int
}

func (l Limits) withDefaults() Limits {
	set := func(value *int, byDefault int) {
		if *value <= 0 {
			*value = byDefault
		}
	}
	set(&l.Instances, 1_000_000)
	set(&l.NamespaceInstances, 500_000)
	set(&l.ServiceInstances, 20_000)
	set(&l.Services, 100_000)
	set(&l.Provisional, 50_000)
	set(&l.Subscriptions, 1_000)
	set(&l.SessionInstances, 10_000)
	set(&l.Namespaces, 1_000)
	return l
}
