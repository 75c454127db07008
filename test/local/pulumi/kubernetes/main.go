// Pulumi's Kubernetes provider, without the files that its own main package embeds when it is released.
package main

import "github.com/pulumi/pulumi-kubernetes/provider/v4/pkg/provider"

// Set when it is linked.
var version string

func main() {
	// Its schema and its Terraform mapping serve code generation, which nothing here asks it for.
	provider.Serve("kubernetes", version, []byte("{}"), []byte("{}"))
}
