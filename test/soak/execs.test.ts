/** 100 tasks with execs, and 100,000 execs in one task. */
import { execTests } from '../harness/execs.ts'

execTests(100, 100_000)
