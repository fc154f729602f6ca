//go:build unix

package main

import "github.com/bellhop-run/bellhop/channels/amqp/rabbit"

func rabbitInstalled() bool { return rabbit.Installed() }
