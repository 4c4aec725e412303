const setUser = 0o4000;
const setGroup = 0o2000;
const groupExecute = 0o010;

/**
 * What is left of a mode when somebody without CAP_FSETID writes the file or gives it away: set-user goes, and set-group
 * where it means execution. On files without group execution the bit stands for mandatory locks and stays.
 */
export const withoutSetId = (mode: number): number =>
  mode & ~setUser & ~((mode & groupExecute) === 0 ? 0 : setGroup);
