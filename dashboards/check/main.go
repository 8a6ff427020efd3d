// Checks dashboards against Grafana's own types, because Grafana drops or misreads fields that these types do not know or allow.
package main

import (
	"encoding/json"
	"fmt"
	"os"

	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

func main() {
	plugins.RegisterDefaultPlugins()
	isWrong := len(os.Args) < 2
	for _, path := range os.Args[1:] {
		if err := check(path); err != nil {
			fmt.Fprintf(os.Stderr, "%s: %v\n", path, err)
			isWrong = true
		}
	}
	if isWrong {
		os.Exit(1)
	}
}

func check(path string) error {
	source, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	// The returned value is an error type even if it holds no error.
	if err := new(dashboard.Dashboard).UnmarshalJSONStrict(source); err != nil && err.Error() != "" {
		return err
	}
	known := dashboard.NewDashboard()
	written := dashboard.Dashboard{}
	if err := json.Unmarshal(source, &written); err != nil {
		return err
	}
	if written.SchemaVersion != known.SchemaVersion {
		return fmt.Errorf("schemaVersion is %d, and Grafana's is %d", written.SchemaVersion, known.SchemaVersion)
	}
	return written.Validate()
}
