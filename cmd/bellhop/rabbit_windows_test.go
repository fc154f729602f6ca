package main

func rabbitInstalled() bool { return false }
