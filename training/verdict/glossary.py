"""The terms of a routing report, explained for readers who know no paper about routing."""

from __future__ import annotations

from collections.abc import Mapping

GLOSSARY: Mapping[str, str] = {
    "Quality": "The mean score of the answers, from 0 (all wrong) to 1 (all right), as given in the benchmark file.",
    "Cost": "The average price of the models' answers, in US dollars per 1,000 prompts.",
    "Router": "A program that reads a prompt and picks the model that will answer it, before anything is paid.",
    "Setting": "A router can be set to save money or to demand quality. Each way to set it is a setting. Settings with a "
    "name are presets.",
    "Quality–cost curve": "The quality and the cost of each setting. Higher is better, and farther left is cheaper.",
    "Hull": "The best results a router can reach if some prompts use one setting and the others use another. The curves in "
    "the picture are hulls. They never fall, because nobody has to pay more for less.",
    "AIQ": "Average improvement in quality: the mean height of a hull, from the cost of the cheapest single model to the "
    "cost of the best one. One figure for all settings together; higher is better (RouterBench, arXiv 2403.12031).",
    "Best single model": "The model with the highest quality if it answers every prompt. A router has to beat it.",
    "Zero router": "Reads no prompts. It sends a random share of them to one model and the rest to another. A router that "
    "reads prompts has to do better (RouterBench, arXiv 2403.12031).",
    "Task table": "Knows the true task of each prompt (coding, math, …) and the average quality of each model on that task.",
    "kNN-40": "Finds the 40 known prompts with the most similar words, and picks the model that did best on them.",
    "Ridge": "Predicts the score of each model from the words of the prompt with a linear formula (ridge regression).",
    "Round robin": "Sends prompts to all models in turn.",
    "Random": "Sends each prompt to a random model.",
    "Oracle": "Knows in advance how every model will do on every prompt. It cannot be built. It shows how much better a "
    "router could get.",
    "Regret": "The score of the best model for each prompt, minus the score of the chosen model. 0 is perfect.",
    "PerfGain": "How much higher the quality of the best setting is than that of the best single model, in percent of the "
    "latter (LLMRouterBench, arXiv 2601.07206).",
    "CostSave": "How much less it costs to reach the best single model's quality, in percent of that model's cost "
    "(LLMRouterBench, arXiv 2601.07206).",
    "APGR": "Average performance gap recovered, for a strong and a weak model: the share of the quality gap between them "
    "that is closed, averaged over all shares of calls to the strong model. Chance closes 50 % "
    "(RouteLLM, arXiv 2406.18665).",
    "CPT": "Call-performance threshold, for a strong and a weak model: the share of prompts that must go to the strong "
    "model to close 50 %, or 80 %, of the quality gap. Lower is better (RouteLLM, arXiv 2406.18665).",
    "Interval [low, high]": "The prompts are a sample. With another sample of the same kind, the figure would lie between "
    "these two numbers in about 95 of 100 cases (bootstrap over prompts, 95 %). ∞ means that some samples never reach the "
    "quality.",
}
