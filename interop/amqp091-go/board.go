package main

// Runs the scenarios in order and prints one line for each. Owns the deadlines: 20 s for a
// scenario, 60 s for the program. Never talks to a broker.

import (
	"fmt"
	"os"
	"strings"
	"sync/atomic"
	"time"
)

const (
	scenarioTime = 20 * time.Second
	programTime  = 60 * time.Second
)

// A scenario ends by returning, or by a panic that says what does not hold.
type scenario struct {
	name string
	run  func(c *client)
}

var named atomic.Int64

// nameFor gives a name no other run uses.
func nameFor(purpose string) string {
	return fmt.Sprintf("interop.amqp091-go.%d.%d.%s", os.Getpid(), named.Add(1), purpose)
}

// runAll runs the scenarios and gives the exit code.
func runAll(scenarios []scenario) int {
	endsAt := time.Now().Add(programTime)
	code := 0
	for _, scenario := range scenarios {
		if reason := runOne(scenario, time.Until(endsAt)); reason != "" {
			code = 1
			fmt.Printf("FAIL %s: %s\n", scenario.name, strings.Join(strings.Fields(reason), " "))
		} else {
			fmt.Printf("ok %s\n", scenario.name)
		}
	}
	return code
}

// runOne gives the reason why the scenario failed, or nothing.
func runOne(scenario scenario, left time.Duration) string {
	if left <= 0 {
		return fmt.Sprintf("not reached within %v", programTime)
	}
	outcome := make(chan string, 1)
	go func() {
		defer func() {
			if reason := recover(); reason != nil {
				outcome <- fmt.Sprint(reason)
			}
		}()
		c := &client{}
		scenario.run(c)
		c.close()
		outcome <- ""
	}()
	select {
	case reason := <-outcome:
		return reason
	case <-time.After(min(left, scenarioTime)):
		return "no outcome before the deadline"
	}
}
