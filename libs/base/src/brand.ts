declare const brand: unique symbol;

/** A primitive only its own constructor may mint. Erased at run time: no cost, no wrapper. */
export type Brand<T, Name extends string> = T & { readonly [brand]: Name };
