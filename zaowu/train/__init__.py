"""One loop for pre-training and fine-tuning: step, evaluate, stop?"""
