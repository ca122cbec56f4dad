/** SIGKILL of the controller at every boundary of a message. */
import { boundaryTests } from '../harness/boundaries.ts'

boundaryTests(Number.POSITIVE_INFINITY)
