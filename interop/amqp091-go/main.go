// The interop scenarios with amqp091-go.
package main

import "os"

func main() {
	scenarios := append(topology, publishingScenarios...)
	scenarios = append(scenarios, consuming...)
	scenarios = append(scenarios, connections...)
	os.Exit(runAll(scenarios))
}
