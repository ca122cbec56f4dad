/** Some tasks with execs, and hundreds of execs in one task; many more in test/soak. */
import { execTests } from '../harness/execs.ts'

execTests(20, 300)
