import { z } from "zod";

export const Report = z.object({ city: z.string(), degrees: z.number() });
