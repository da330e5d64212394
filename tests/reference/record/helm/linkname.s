// Lets engine.go declare a function without a body.
