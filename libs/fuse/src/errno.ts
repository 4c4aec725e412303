/** What the protocol itself answers, by Linux's numbers. */
export const errnos = { EINVAL: 22, ENAMETOOLONG: 36, ENOSYS: 38 } as const;

/** The kernel takes an answer for malformed when its error is not one of these numbers. */
export const errnoMax = 511;
