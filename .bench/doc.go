// Command bench does the same work with Bellhop and with what people would pick
// in its place, and prints the figures side by side.
//
//	go -C .bench run . [-n 10000] [-rate 1000] [-runs 3] [-within 6m] [-only asynq,river] [-o markdown|json] [-write ../README.md]
//
// It is a module of its own: nobody who imports Bellhop gets the others' modules
// into his graph.
//
// # The work
//
//	create   N jobs are stored that are due at one instant, some seconds ahead
//	burst    from that instant until the last one is acknowledged, and how late
//	         each reached its handler
//	steady   jobs with due times of their own, so many a second: how late
//	killed   jobs are accepted, and the server gets SIGKILL at once and is
//	         started again: how many arrive all the same
//
// The handler does nothing. Payloads are 128 bytes. Whatever has a server or a
// scheduler has it in a process of its own, with a directory and a port of its
// own, and so has the worker; jobs are created by the process that measures:
//
//	bench ──create──► server ◄──► scheduler (Bellhop alone has one by itself)
//	  │                  │
//	  │                  └──► worker (bench again, with a hidden first argument)
//	  └── "how many have come, and when?" ──┘
//
// One Entrant is there at a time. Each run starts it anew, warms it up and does
// the work once; the entrants take turns, and what is printed is the median of
// the runs. Each is set up as its own documentation or its own benchmark says:
// the comment at its type has what was set, and why.
package main
