package main

// What must hold: routes, header values, x-death. Pure data and checks.

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"time"

	amqp "github.com/rabbitmq/amqp091-go"
)

const frameOverhead = 8

var (
	large      = bytes.Repeat([]byte("0123456789abcdefghijklmnopqrstuvwxyz!"), 5*1024*1024/37)
	priorities = []uint8{1, 5, 9, 0, 5}
)

// route names the bindings of two queues, the messages, and who gets which of them.
type route struct {
	kind     string
	bindings []binding
	messages []keyed
	arrive   [2][]string
}

type binding struct {
	queue     int
	key       string
	arguments amqp.Table
}

type keyed struct {
	key     string
	headers amqp.Table
}

var routes = []route{
	{"direct", []binding{{0, "red", nil}, {1, "blue", nil}},
		[]keyed{{"red", nil}, {"blue", nil}, {"green", nil}},
		[2][]string{{"0"}, {"1"}}},
	{"fanout", []binding{{0, "", nil}, {1, "other", nil}},
		[]keyed{{"any", nil}, {"", nil}},
		[2][]string{{"0", "1"}, {"0", "1"}}},
	{"topic", []binding{{0, "a.*.c", nil}, {1, "a.#", nil}},
		[]keyed{{"a.b.c", nil}, {"a", nil}, {"a.b.c.d", nil}, {"b.a", nil}},
		[2][]string{{"0"}, {"0", "1", "2"}}},
	{"headers", []binding{
		{0, "", amqp.Table{"x-match": "all", "n": 1, "s": "two"}},
		{1, "", amqp.Table{"x-match": "any", "n": 1, "s": "two"}}},
		[]keyed{{"", amqp.Table{"n": 1, "s": "two"}}, {"", amqp.Table{"n": 1}},
			{"", amqp.Table{"s": "three"}}},
		[2][]string{{"0"}, {"0", "1"}}},
}

// headers has every type the client can write; each comes back as the same Go type.
var headers = amqp.Table{
	"bool":    true,
	"byte":    byte(200),
	"int8":    int8(-7),
	"int16":   int16(-300),
	"uint16":  uint16(65535),
	"int32":   int32(-2147483648),
	"uint32":  uint32(4000000000),
	"int64":   int64(-1) << 62,
	"float32": float32(0.25),
	"float64": 0.1,
	"decimal": amqp.Decimal{Scale: 2, Value: 314},
	"string":  "grüße, 世界",
	"empty":   "",
	"bytes":   []byte{0, 255, 254},
	"time":    time.Unix(1709209815, 0),
	"none":    nil,
	"list":    []interface{}{int32(1), "two", true, nil, []interface{}{amqp.Table{"four": int32(4)}}},
	"table":   amqp.Table{"nested": amqp.Table{"list": []interface{}(nil), "table": amqp.Table{}}},
}

// check ends the scenario unless there is no error.
func check(err error) {
	if err != nil {
		panic(err)
	}
}

// must gives the value, or ends the scenario.
func must[T any](value T, err error) T {
	check(err)
	return value
}

// equal ends the scenario unless both are the same; what names them.
func equal(actual, expected interface{}, what string) {
	if !reflect.DeepEqual(actual, expected) {
		panic(fmt.Sprintf("%s: %.300v, expected %.300v", what, actual, expected))
	}
}

// closedWith ends the scenario unless the error is the broker's, with this code and these texts.
func closedWith(err error, code int, texts ...string) {
	var closed *amqp.Error
	if !errors.As(err, &closed) {
		panic(fmt.Sprintf("closed with %d expected, not %v", code, err))
	}
	equal(closed.Server, true, "the close comes from the broker")
	equal(closed.Code, code, "code of the close")
	for _, text := range texts {
		if !strings.Contains(closed.Reason, text) {
			panic(fmt.Sprintf("%q is not in %q", text, closed.Reason))
		}
	}
}

// singleDeath gives the only x-death entry, after its fields and those beside it are checked.
func singleDeath(headers amqp.Table, queue, reason, exchange, key string) amqp.Table {
	deaths, _ := headers["x-death"].([]interface{})
	equal(len(deaths), 1, "number of x-death entries")
	death, _ := deaths[0].(amqp.Table)
	expected := amqp.Table{"count": int64(1), "queue": queue, "reason": reason,
		"exchange": exchange, "routing-keys": []interface{}{key}}
	for field, value := range expected {
		equal(death[field], value, "x-death "+field)
	}
	_, isTime := death["time"].(time.Time)
	equal(isTime, true, "x-death time is a timestamp")
	for _, field := range []string{"queue", "reason", "exchange"} {
		equal(headers["x-first-death-"+field], expected[field], "x-first-death-"+field)
	}
	return death
}
