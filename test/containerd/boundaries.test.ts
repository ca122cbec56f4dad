/** SIGKILL of the controller at boundaries of messages; all of them in test/soak. */
import { boundaryTests } from '../harness/boundaries.ts'

boundaryTests(20)
