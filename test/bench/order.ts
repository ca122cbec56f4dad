/** In which order subjects have their turns. */

/** Drawn anew for each round: nobody always comes after the same one, whose end may still go on, and whose data is in the caches. */
export const shuffled = <T>(subjects: readonly T[]): readonly T[] =>
  subjects
    .map((subject) => ({ subject, drawn: Math.random() }))
    .toSorted((a, b) => a.drawn - b.drawn)
    .map(({ subject }) => subject)
