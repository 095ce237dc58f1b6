package edge

import (
	"github.com/gantry-platform/gantry/internal/instance"
)

// wellKnown are the keys of metadata that are labels too.
var wellKnown = [...]string{"version", "zone", "lane"}

// Labels returns the labels that stand in foreign metadata; nil when there are none.
func Labels(metadata map[string]string) map[string]string {
	var labels map[string]string
	for _, key := range wellKnown {
		if value := metadata[key]; value != "" && len(value) <= instance.MaxLabelValueBytes {
			if labels == nil {
				labels = make(map[string]string, len(wellKnown))
			}
			labels[key] = value
		}
	}
	return labels
}

// Metadata is what foreign readers see of an instance: its metadata, and the labels that it does not have there. The caller owns the
// map.
func Metadata(i *instance.Instance) map[string]string {
	metadata := i.Metadata.Map()
	for _, label := range i.Labels {
		if _, known := metadata[label.Key]; !known {
			metadata[label.Key] = label.Value
		}
	}
	return metadata
}
