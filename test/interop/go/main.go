// What an unmodified RocketMQ Go client 2.1.2 does. Arguments: name server address, then names of
// scenarios. Prints "PASS name" or "FAIL name: why" for each, and exits with the number of failures.
// A scenario that hangs fails, and the next one begins.
package main

import (
	"fmt"
	"os"
	"time"

	"github.com/apache/rocketmq-client-go/v2/rlog"
)

const limit = 100 * time.Second

var scenarios = map[string]func(){
	"sync-send":       syncSend,
	"async-send":      asyncSend,
	"oneway":          oneway,
	"batch":           batch,
	"large-body":      largeBody,
	"compressed-body": compressedBody,
	"chinese":         chinese,
	"orderly":         orderly,
	"tags":            tags,
	"sql-filter":      sqlFilter,
	"rebalance":       rebalance,
	"resume":          resume,
	"from-last":       fromLast,
	"retry":           retry,
	"dead-letter":     deadLetter,
	"delay":           delay,
	"timed":           timed,
	"transaction":     transaction,
	"broadcast":       broadcast,
	"pull":            pull,
	"poll":            poll,
	"admin":           administer,

	// At a broker with users alone.
	"access-right":        accessRight,
	"access-wrong-secret": accessWrongSecret,
	"access-no-rights":    accessNoRights,
}

func main() {
	rlog.SetLogLevel("warn")
	nameServer = os.Args[1]
	failures := 0
	for _, name := range os.Args[2:] {
		start := time.Now()
		if failure := runBounded(scenarios[name]); failure != nil {
			failures++
			fmt.Printf("FAIL %s: %v\n", name, failure)
		} else {
			fmt.Printf("PASS %s %d ms\n", name, time.Since(start).Milliseconds())
		}
	}
	os.Exit(failures)
}

// runBounded answers what the scenario panicked with, or that it did not end in time.
func runBounded(scenario func()) any {
	if scenario == nil {
		return "no such scenario"
	}
	ended := make(chan any, 1)
	go func() {
		defer func() { ended <- recover() }()
		scenario()
	}()
	select {
	case failure := <-ended:
		return failure
	case <-time.After(limit):
		return fmt.Sprintf("not finished after %v", limit)
	}
}
