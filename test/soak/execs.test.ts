/** 100 tasks with execs, and 10,000 execs in one task. */
import { execTests } from '../harness/execs.ts'

execTests(100, 10_000)
